//! Which declared endpoint a request is for.

use std::collections::HashMap;

use percent_encoding::percent_decode_str;

use super::model::Endpoint;

/// The endpoints of one version, found by method and path.
#[derive(Default)]
pub struct Endpoints {
    /// All, in their order.
    pub list: Vec<Endpoint>,
    /// Those without placeholders, by their segments.
    literal: HashMap<Vec<String>, Vec<usize>>,
    /// The others, the most specific first.
    patterns: Vec<(Vec<Segment>, usize)>,
}

#[derive(Debug, PartialEq, Eq)]
enum Segment {
    Text(String),
    Any,
    Rest,
}

impl Endpoints {
    /// Endpoints by their declarations.
    pub fn new(list: Vec<Endpoint>) -> Self {
        let mut endpoints = Self::default();
        for (i, endpoint) in list.iter().enumerate() {
            let segments: Vec<Segment> = split(&endpoint.path).into_iter().map(segment).collect();
            let texts: Option<Vec<String>> = segments
                .iter()
                .map(|segment| match segment {
                    Segment::Text(text) => Some(text.clone()),
                    Segment::Any | Segment::Rest => None,
                })
                .collect();
            match texts {
                Some(texts) => endpoints.literal.entry(texts).or_default().push(i),
                None => endpoints.patterns.push((segments, i)),
            }
        }
        // A text is more specific than a placeholder, and that than a rest, from left to right.
        endpoints.patterns.sort_by_cached_key(|(segments, _)| segments.iter().map(rank).collect::<Vec<_>>());
        endpoints.list = list;
        endpoints
    }

    /// The endpoint of a method and a path as it stands in a request. The path is compared as a service may read it:
    /// decoded, without empty segments and without `.`; otherwise another spelling would avoid what an endpoint demands.
    /// HEAD is GET unless it is declared.
    pub fn find(&self, method: &str, path: &str) -> Option<&Endpoint> {
        if self.list.is_empty() {
            return None;
        }
        let decoded = percent_decode_str(path).decode_utf8_lossy();
        let segments: Vec<String> = split(&decoded).into_iter().map(str::to_owned).collect();
        let found = self.find_decoded(method, &segments);
        found.or_else(|| if method == "HEAD" { self.find_decoded("GET", &segments) } else { None })
    }

    fn find_decoded(&self, method: &str, path: &[String]) -> Option<&Endpoint> {
        let literal = self.literal.get(path).into_iter().flatten().copied();
        let patterns = self.patterns.iter().filter(|(pattern, _)| fits(pattern, path)).map(|(_, i)| *i);
        literal.chain(patterns).map(|i| &self.list[i]).find(|endpoint| endpoint.method == method)
    }
}

fn split(path: &str) -> Vec<&str> {
    path.split(['/', '\\']).filter(|segment| !segment.is_empty() && *segment != ".").collect()
}

fn segment(text: &str) -> Segment {
    match text {
        "*" => Segment::Rest,
        text if text.starts_with('{') && text.ends_with('}') => Segment::Any,
        text => Segment::Text(text.to_owned()),
    }
}

fn rank(segment: &Segment) -> u8 {
    match segment {
        Segment::Text(_) => 0,
        Segment::Any => 1,
        Segment::Rest => 2,
    }
}

fn fits(pattern: &[Segment], path: &[String]) -> bool {
    let mut path = path.iter();
    for segment in pattern {
        match (segment, path.next()) {
            (Segment::Rest, _) => return true,
            (Segment::Any, Some(_)) => {}
            (Segment::Text(text), Some(part)) if text == part => {}
            _ => return false,
        }
    }
    path.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(paths: &[(&str, &str)]) -> Endpoints {
        let endpoint = |(method, path): &(&str, &str)| Endpoint {
            path: (*path).to_owned(),
            method: (*method).to_owned(),
            description: format!("{method} {path}"),
            is_public: false,
            required_roles: Vec::new(),
            rate_limit: None,
        };
        Endpoints::new(paths.iter().map(endpoint).collect())
    }

    #[test]
    fn the_most_specific_endpoint_is_found_however_a_path_is_spelt() {
        let endpoints = endpoints(&[
            ("GET", "files/*"),
            ("GET", "items/{id}"),
            ("GET", "items/new"),
            ("POST", "items/{id}"),
            ("GET", ""),
            ("HEAD", "items/new"),
        ]);
        let find =
            |method: &str, path: &str| endpoints.find(method, path).map(|endpoint| endpoint.description.as_str());
        for (method, path, found) in [
            ("GET", "items/new", Some("GET items/new")),
            ("GET", "//items/./%6Eew/", Some("GET items/new")),
            ("GET", "items%2Fnew", Some("GET items/new")),
            ("GET", "items%5Cnew", Some("GET items/new")),
            ("GET", "items/7", Some("GET items/{id}")),
            ("POST", "items/new", Some("POST items/{id}")),
            ("GET", "files/a/b", Some("GET files/*")),
            ("GET", "files", Some("GET files/*")),
            ("GET", "/", Some("GET ")),
            ("HEAD", "items/new", Some("HEAD items/new")),
            ("HEAD", "items/7", Some("GET items/{id}")),
            ("DELETE", "items/7", None),
            ("GET", "items/7/more", None),
            ("GET", "Items/new", None),
        ] {
            assert_eq!(find(method, path), found, "{method} {path}");
        }
    }
}
