//! The reference of the fields of every kind, from the schemas of the CRDs.

use std::fmt::Write as _;

use bailiwick::api::crds;
use serde_json::Value;

/// The whole page.
pub fn reference() -> String {
    let mut text = String::from(
        "# Fields of every kind\n\n\
         <!-- Generated from src/api by `make generate`. -->\n\n\
         All kinds are in the API group `bailiwick.dev`, version `v1alpha1`. `kubectl explain organizations.bailiwick.dev.spec` \
         shows the same text.\n",
    );
    for crd in crds::all() {
        let crd = serde_json::to_value(&crd).unwrap();
        let (names, schema) = (&crd["spec"]["names"], &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]);
        write!(text, "\n## {}\n\n{}\n\n", words(&names["kind"]), description(schema)).unwrap();
        let scope = if crd["spec"]["scope"] == "Cluster" { "cluster-scoped" } else { "namespaced" };
        let plural = words(&names["plural"]);
        let short = names["shortNames"].as_array().map(|names| format!(", short name `{}`", words(&names[0])));
        writeln!(text, "Resource `{plural}.bailiwick.dev`{}, {scope}.", short.unwrap_or_default()).unwrap();
        write!(text, "{}", refusals("", schema)).unwrap();
        for part in ["spec", "status"] {
            write!(text, "\n### {} `{part}`\n\n", words(&names["kind"])).unwrap();
            let part = &schema["properties"][part];
            text.push_str(&refusals("", part));
            fields("", part, &mut text);
        }
    }
    while text.contains("\n\n\n") {
        text = text.replace("\n\n\n", "\n\n");
    }
    text
}

fn fields(path: &str, schema: &Value, text: &mut String) {
    let is_required = |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}{name}");
        let mut facts = vec![kind(field)];
        facts.extend(is_required(name).then(|| "required".to_owned()));
        facts.extend(limits(field));
        let default = &field["default"];
        facts.extend((!default.is_null() && *default != serde_json::json!([])).then(|| format!("default `{default}`")));
        writeln!(text, "- **`{path}`** ({}): {}", facts.join(", "), description(field)).unwrap();
        text.push_str(&refusals("  ", field));
        text.push_str(&refusals("  ", &field["items"]));
        // Those of a condition are Kubernetes' own.
        if name != "conditions" {
            fields(&format!("{path}."), field, text);
            fields(&format!("{path}[]."), &field["items"], text);
        }
    }
}

fn kind(field: &Value) -> String {
    match words(&field["type"]).as_str() {
        "array" => format!("list of {}s", kind(&field["items"])),
        kind => kind.to_owned(),
    }
}

fn limits(field: &Value) -> Vec<String> {
    let mut limits = Vec::new();
    limits.extend(field["maxLength"].as_u64().map(|most| format!("at most {most} characters")));
    limits.extend(field["maxItems"].as_u64().map(|most| format!("at most {most} items")));
    let allowed = field["enum"].as_array().or(field["items"]["enum"].as_array());
    limits.extend(
        allowed.map(|all| all.iter().map(|word| format!("`{}`", words(word))).collect::<Vec<_>>().join(" or ")),
    );
    limits
}

/// What the API server refuses, in the words of its messages.
fn refusals(indent: &str, schema: &Value) -> String {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    let messages: Vec<String> = rules.map(|rule| words(&rule["message"])).collect();
    let all = messages.join("; ");
    if all.is_empty() { all } else { format!("\n{indent}Refused with: {all}.\n\n") }
}

fn description(schema: &Value) -> String {
    words(&schema["description"]).replace('\n', " ")
}

fn words(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
