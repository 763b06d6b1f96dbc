//! Headings as link targets, and links.

use std::collections::{BTreeSet, HashMap};

use super::documents::Page;

/// What can follow the `#` of a link to this page: every heading as GitHub and mdBook write it.
pub fn anchors(page: &Page) -> BTreeSet<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut anchors = BTreeSet::new();
    for (_, line) in page.prose() {
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let slug = slug(title.trim());
        let earlier = seen.entry(slug.clone()).or_default();
        anchors.insert(if *earlier == 0 { slug } else { format!("{slug}-{earlier}") });
        *earlier += 1;
    }
    anchors
}

/// Letters and digits in lower case, hyphens for spaces, and nothing else but underscores.
fn slug(title: &str) -> String {
    let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The targets of the links of a page, with the numbers of their lines.
pub fn links(page: &Page) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (number, line) in page.prose() {
        let in_brackets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let bare = line.split('<').skip(1).filter_map(|rest| rest.split_once('>')).map(|(target, _)| target);
        found.extend(in_brackets.map(|target| (number, target)));
        found.extend(bare.filter(|target| target.contains("://")).map(|target| (number, target)));
    }
    found
}

#[test]
fn headings_become_anchors() {
    let text =
        "# A `wirehaul serve`: what, and why?\n\n## Twice\n```sh\n# no heading\n```\n## Twice\n####### \n#none\n";
    let page = Page { path: "a.md".to_owned(), text: text.to_owned() };
    let expected = ["a-wirehaul-serve-what-and-why", "twice", "twice-1"];
    assert_eq!(anchors(&page).into_iter().filter(|slug| !slug.is_empty()).collect::<Vec<_>>(), expected);
}
