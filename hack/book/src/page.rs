//! The links and anchors of one Markdown page, and how a relative link is followed.

use std::collections::HashSet;
use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, LinkType, Options, Parser, Tag, TagEnd};

/// What a page refers to, and what can be referred to in it.
#[derive(Debug, Default)]
pub struct Page {
    /// Links and images, in their order.
    pub links: Vec<Link>,
    /// The ids of its headings, and of its HTML elements.
    pub anchors: HashSet<String>,
    /// Where blocks of Mermaid begin.
    pub mermaid: Vec<usize>,
}

/// A link or an image.
#[derive(Debug)]
pub struct Link {
    /// As in the source: an URL, or a path relative to the page.
    pub destination: String,
    /// Where the whole link stands in the source.
    pub span: Range<usize>,
    /// `[text](destination)`, rather than a reference.
    pub inline: bool,
    /// Shown in the page.
    pub image: bool,
}

impl Link {
    /// The path and the anchor, if this leads to a file of the repository.
    pub fn local(&self) -> Option<(&str, Option<&str>)> {
        let elsewhere = self.destination.contains("://") || self.destination.starts_with("mailto:");
        (!elsewhere).then(|| match self.destination.split_once('#') {
            Some((path, anchor)) => (path, Some(anchor)),
            None => (self.destination.as_str(), None),
        })
    }
}

impl Page {
    /// Reads a page as mdBook does.
    pub fn read(text: &str) -> Self {
        let options = Options::ENABLE_TABLES
            | Options::ENABLE_FOOTNOTES
            | Options::ENABLE_STRIKETHROUGH
            | Options::ENABLE_TASKLISTS
            | Options::ENABLE_HEADING_ATTRIBUTES;
        let mut page = Self::default();
        let mut heading = None;
        for (event, span) in Parser::new_ext(text, options).into_offset_iter() {
            match event {
                Event::Start(Tag::Link { link_type, dest_url, .. }) => page.link(link_type, &dest_url, span, false),
                Event::Start(Tag::Image { link_type, dest_url, .. }) => page.link(link_type, &dest_url, span, true),
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) if &*language == "mermaid" => {
                    page.mermaid.push(span.start);
                }
                Event::Start(Tag::Heading { id, .. }) => heading = Some((id, String::new())),
                Event::Text(part) | Event::Code(part) => {
                    if let Some((_, title)) = &mut heading {
                        title.push_str(&part);
                    }
                }
                Event::End(TagEnd::Heading(_)) => {
                    if let Some((id, title)) = heading.take() {
                        page.heading(id.map_or_else(|| anchor(&title), |id| id.to_string()));
                    }
                }
                Event::Html(html) | Event::InlineHtml(html) => {
                    let ids = html.split("id=\"").skip(1).filter_map(|rest| rest.split('"').next());
                    page.anchors.extend(ids.map(str::to_owned));
                }
                _ => {}
            }
        }
        page
    }

    fn link(&mut self, kind: LinkType, destination: &str, span: Range<usize>, image: bool) {
        let inline = kind == LinkType::Inline;
        self.links.push(Link { destination: destination.to_owned(), span, inline, image });
    }

    /// The second heading of a name gets a number, as in mdBook and on GitHub.
    fn heading(&mut self, id: String) {
        let mut unique = id.clone();
        let mut number = 1;
        while !self.anchors.insert(unique) {
            unique = format!("{id}-{number}");
            number += 1;
        }
    }
}

/// The id that mdBook and GitHub give to a heading.
fn anchor(title: &str) -> String {
    let kept = title.trim().to_lowercase();
    let kept = kept.chars().filter_map(|letter| match letter {
        '_' | '-' => Some(letter),
        _ if letter.is_alphanumeric() => Some(letter),
        _ if letter.is_whitespace() => Some('-'),
        _ => None,
    });
    kept.collect()
}

/// Follows a relative path from a page; `None` if it leaves the repository.
pub fn follow(page: &str, path: &str) -> Option<String> {
    if path.is_empty() {
        return Some(page.to_owned());
    }
    if path.starts_with('/') {
        return None;
    }
    let mut steps: Vec<&str> = page.split('/').collect();
    steps.pop();
    for step in path.split('/') {
        match step {
            "" | "." => {}
            ".." => drop(steps.pop()?),
            step => steps.push(step),
        }
    }
    Some(steps.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_have_the_ids_that_mdbook_and_github_give_them() {
        let page = Page::read("# What `bind` is\n\n## Who, and why?\n\n## Who and why\n\n### Own {#mine}\n");
        let expected = ["what-bind-is", "who-and-why", "who-and-why-1", "mine"];
        assert_eq!(page.anchors, expected.into_iter().map(str::to_owned).collect());
    }

    #[test]
    fn relative_paths_are_followed_inside_of_the_repository_only() {
        assert_eq!(follow("docs/a.md", "b.md").as_deref(), Some("docs/b.md"));
        assert_eq!(follow("docs/x/a.md", "../../README.md").as_deref(), Some("README.md"));
        assert_eq!(follow("docs/a.md", "../examples/").as_deref(), Some("examples"));
        assert_eq!(follow("docs/a.md", "").as_deref(), Some("docs/a.md"));
        assert_eq!(follow("docs/a.md", "../../elsewhere"), None);
        assert_eq!(follow("docs/a.md", "/etc"), None);
    }

    #[test]
    fn only_links_without_a_scheme_are_local() {
        let page = Page::read("[a](https://x.org/#y), <mailto:a@x.org>, [b](c.md#d), ![e](f.svg)\n");
        let local: Vec<_> = page.links.iter().filter_map(Link::local).collect();
        assert_eq!(local, [("c.md", Some("d")), ("f.svg", None)]);
    }
}
