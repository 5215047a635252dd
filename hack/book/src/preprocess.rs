//! The preprocessor of mdBook. Pages link to files of the repository by relative paths, which work in a checkout and on
//! GitHub. In the book those outside of its folder would lead nowhere, so they become links to the repository.

use std::io::Read;

use serde_json::Value;

use crate::page::{Page, follow};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("mdBook sends no book: {0}")]
    Json(#[from] serde_json::Error),
    #[error("book.toml has no {0}")]
    Setting(&'static str),
    #[error("{page}: {destination} leads out of the book; write it as [text](destination)")]
    NotInline { page: String, destination: String },
    #[error("{page}: the image {destination} is not in the book's folder")]
    Image { page: String, destination: String },
}

/// Reads what mdBook sends, and returns the changed book.
pub fn run(input: impl Read) -> Result<String, Error> {
    let (context, mut book): (Value, Value) = serde_json::from_reader(input)?;
    let setting = |pointer, name| context.pointer(pointer).and_then(Value::as_str).ok_or(Error::Setting(name));
    let repository = setting("/config/output/html/git-repository-url", "git-repository-url")?;
    let folder = setting("/config/book/src", "src")?;
    chapters(&mut book, &mut |path, content| {
        links_to_repository(&format!("{folder}/{path}"), content, folder, repository)
    })?;
    Ok(serde_json::to_string(&book)?)
}

/// Applies a change to the text of each chapter, at any depth.
fn chapters(value: &mut Value, change: &mut impl FnMut(&str, &str) -> Result<String, Error>) -> Result<(), Error> {
    if let Some(path) = value.get("source_path").and_then(Value::as_str).map(str::to_owned)
        && let Some(content) = value.get("content").and_then(Value::as_str)
    {
        value["content"] = change(&path, content)?.into();
    }
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(|item| chapters(item, change)),
        Value::Object(fields) => fields.values_mut().try_for_each(|field| chapters(field, change)),
        _ => Ok(()),
    }
}

fn links_to_repository(page: &str, content: &str, folder: &str, repository: &str) -> Result<String, Error> {
    let mut text = content.to_owned();
    // From the end, so that earlier spans stay valid.
    for link in Page::read(content).links.iter().rev() {
        let Some((path, anchor)) = link.local() else { continue };
        let Some(target) = follow(page, path) else { continue };
        let is_folder = path.ends_with('/') || path.ends_with("..");
        if target.starts_with(&format!("{folder}/")) && !is_folder {
            continue;
        }
        let (page, destination) = (page.to_owned(), link.destination.clone());
        if link.image {
            return Err(Error::Image { page, destination });
        }
        let place = text.get(link.span.clone()).and_then(|source| source.rfind(&format!("]({destination}")));
        let (true, Some(place)) = (link.inline, place) else { return Err(Error::NotInline { page, destination }) };
        let start = link.span.start + place + 2;
        let view = if is_folder { "tree" } else { "blob" };
        let anchor = anchor.map(|anchor| format!("#{anchor}")).unwrap_or_default();
        text.replace_range(start..start + destination.len(), &format!("{repository}/{view}/main/{target}{anchor}"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn processed(content: &str) -> Result<String, Error> {
        let chapter = json!({"Chapter": {"name": "A", "content": content, "source_path": "x/a.md", "sub_items": []}});
        let parent = json!({"Chapter": {"name": "P", "content": "", "source_path": null, "sub_items": [chapter]}});
        let context =
            json!({"config": {"book": {"src": "docs"}, "output": {"html": {"git-repository-url": "https://r"}}}});
        let book = run(json!([context, {"items": [parent]}]).to_string().as_bytes())?;
        let book: Value = serde_json::from_str(&book)?;
        let text = book.pointer("/items/0/Chapter/sub_items/0/Chapter/content").and_then(Value::as_str);
        Ok(text.unwrap_or_default().to_owned())
    }

    #[test]
    fn links_out_of_the_folder_lead_to_the_repository() {
        let text = "| [a](../b.md#c) | [d](../../README.md#e) and [f `g`](../../examples/h/) |\n\n[../i](https://j)";
        let expected = "| [a](../b.md#c) | [d](https://r/blob/main/README.md#e) and \
            [f `g`](https://r/tree/main/examples/h) |\n\n[../i](https://j)";
        assert_eq!(processed(text).as_deref().ok(), Some(expected));
    }

    #[test]
    fn a_link_that_cannot_be_rewritten_fails_the_build() {
        assert!(matches!(processed("[a]\n\n[a]: ../../README.md"), Err(Error::NotInline { .. })));
        assert!(matches!(processed("![a](../../x.svg)"), Err(Error::Image { .. })));
    }
}
