//! Finds links that lead nowhere, in every Markdown file of the repository, and pages that the book leaves out.

use std::collections::BTreeMap;

use crate::page::{Page, follow};

/// The files of the repository by path; of Markdown files with their text.
pub type Files = BTreeMap<String, String>;

const BOOK: &str = "docs/";
const SUMMARY: &str = "docs/SUMMARY.md";

/// Everything that is wrong, as `file:line: problem`.
pub fn problems(files: &Files) -> Vec<String> {
    let markdown = files.iter().filter(|(name, _)| name.ends_with(".md"));
    let pages: BTreeMap<&str, Page> = markdown.map(|(name, text)| (name.as_str(), Page::read(text))).collect();
    let mut problems = Vec::new();
    for (name, page) in &pages {
        let line = |offset| {
            let before = files.get(*name).and_then(|text| text.get(..offset)).unwrap_or_default();
            before.matches('\n').count() + 1
        };
        if name.starts_with(BOOK) {
            let lines = page.mermaid.iter().map(|offset| line(*offset));
            problems
                .extend(lines.map(|line| format!("{name}:{line}: the book cannot draw Mermaid offline: add an SVG")));
        }
        for link in &page.links {
            let Some((path, anchor)) = link.local() else { continue };
            if let Some(problem) = problem(files, &pages, name, path, anchor) {
                problems.push(format!("{name}:{}: {}: {problem}", line(link.span.start), link.destination));
            }
        }
    }
    problems.extend(left_out(&pages).map(|name| format!("{SUMMARY}: {name} is not in the book")));
    problems
}

/// Why this link leads nowhere.
fn problem(
    files: &Files,
    pages: &BTreeMap<&str, Page>,
    page: &str,
    path: &str,
    anchor: Option<&str>,
) -> Option<&'static str> {
    let Some(target) = follow(page, path) else { return Some("leads out of the repository") };
    let folder = format!("{target}/");
    let exists = files.contains_key(&target)
        || target.is_empty()
        || files.range(folder.clone()..).next().is_some_and(|(name, _)| name.starts_with(&folder));
    if !exists {
        return Some("there is no such file");
    }
    let anchor = anchor?;
    // A folder shows its README.
    let shown = pages.get(target.as_str()).or_else(|| pages.get(format!("{folder}README.md").as_str()));
    match shown {
        Some(shown) => (!shown.anchors.contains(anchor)).then_some("there is no such heading"),
        None => Some("only pages have headings"),
    }
}

/// Pages in the folder of the book to which its table of contents does not lead.
fn left_out<'a>(pages: &'a BTreeMap<&str, Page>) -> impl Iterator<Item = &'a str> {
    let listed: Vec<String> = pages.get(SUMMARY).map_or_else(Vec::new, |summary| {
        let local = summary.links.iter().filter_map(|link| link.local());
        local.filter_map(|(path, _)| follow(SUMMARY, path)).collect()
    });
    let pages = pages.keys().filter(|name| name.starts_with(BOOK) && **name != SUMMARY).copied();
    pages.filter(move |name| !listed.iter().any(|listed| listed == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(&str, &str)]) -> Files {
        files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn what_leads_somewhere_is_no_problem() {
        let text =
            "[a](docs/a.md#first) [b](docs/) [c](https://example.com/gone) [d](#top) [e](examples/x.yaml)\n\n# Top\n";
        let all = files(&[
            ("README.md", text),
            ("docs/SUMMARY.md", "- [A](a.md)\n"),
            ("docs/a.md", "# First\n\n[home](../README.md#top)\n"),
            ("examples/x.yaml", ""),
        ]);
        assert_eq!(problems(&all), [""; 0]);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_a_problem_with_its_line() {
        let text = "# First\n\n[b](b.md)\n[c](#second)\n[d](../../x)\n[e](../x.yaml#L1)\n![f](f.svg)\n";
        let all = files(&[("docs/SUMMARY.md", "- [A](a.md)\n"), ("docs/a.md", text), ("x.yaml", "")]);
        let expected = [
            "docs/a.md:3: b.md: there is no such file",
            "docs/a.md:4: #second: there is no such heading",
            "docs/a.md:5: ../../x: leads out of the repository",
            "docs/a.md:6: ../x.yaml#L1: only pages have headings",
            "docs/a.md:7: f.svg: there is no such file",
        ];
        assert_eq!(problems(&all), expected);
    }

    #[test]
    fn what_the_book_cannot_draw_is_a_problem() {
        let text = "# A\n\n```mermaid\nflowchart TB\n```\n";
        let all = files(&[("docs/SUMMARY.md", "- [A](a.md)\n"), ("docs/a.md", text), ("README.md", text)]);
        assert_eq!(problems(&all), ["docs/a.md:3: the book cannot draw Mermaid offline: add an SVG"]);
    }

    #[test]
    fn every_page_of_the_folder_is_in_the_book() {
        let all = files(&[("docs/SUMMARY.md", "- [A](a.md)\n"), ("docs/a.md", ""), ("docs/x/b.md", "")]);
        assert_eq!(problems(&all), ["docs/SUMMARY.md: docs/x/b.md is not in the book"]);
    }
}
