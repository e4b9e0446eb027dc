//! The service and the path that a request is for.

use crate::error::{Error, OrRefuse, Result, codes};

/// The parts of `/api/{service}/{path}`, as they stand in the request.
pub(super) struct Target<'a> {
    pub service: &'a str,
    /// What follows the service: nothing, or a slash and more.
    pub rest: &'a str,
}

impl<'a> Target<'a> {
    /// Takes a path apart.
    ///
    /// # Errors
    /// 400 when it has a `..` segment in any spelling; 404 without a service.
    pub fn of(path: &'a str) -> Result<Self> {
        if has_parent(path) {
            return Err(Error::new(&codes::UNSAFE_PATH));
        }
        let path = path.strip_prefix("/api/").or_refuse(&codes::SERVICE_NOT_FOUND)?;
        let (service, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
        Ok(Self { service, rest })
    }

    /// The path and query at an instance, byte for byte.
    pub fn at(&self, base_path: &str, query: Option<&str>) -> String {
        let rest = self.rest.strip_prefix('/').unwrap_or(self.rest);
        let base = base_path.strip_suffix('/').unwrap_or(base_path);
        match query {
            Some(query) => format!("{base}/{rest}?{query}"),
            None => format!("{base}/{rest}"),
        }
    }
}

/// Whether a path has a segment `..` once `%2e`, `%2f` and `%5c` are decoded, as a service may do.
fn has_parent(path: &str) -> bool {
    if !path.contains("..") && !path.contains('%') {
        return false;
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.as_bytes();
    while let Some((first, rest)) = bytes.split_first() {
        let (byte, length) = match (first, rest) {
            (b'%', [b'2', b'e' | b'E', ..]) => (b'.', 3),
            (b'%', [b'2', b'f' | b'F', ..]) => (b'/', 3),
            (b'%', [b'5', b'c' | b'C', ..]) => (b'/', 3),
            (b'\\', _) => (b'/', 1),
            (other, _) => (*other, 1),
        };
        decoded.push(byte);
        bytes = &bytes[length..];
    }
    decoded.split(|byte| *byte == b'/').any(|segment| segment == b"..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_are_refused_in_every_spelling_and_nothing_else_is() {
        for path in [
            "/api/a/../b",
            "/api/a/..",
            "/api/../v1",
            "/api/a/%2e%2e/b",
            "/api/a/.%2E/b",
            "/api/a/..%2fb",
            "/api/a/b%2F..%2Fc",
            "/api/a/..%5cb",
            "/api/a/x\\..\\y",
            "/api/..",
        ] {
            assert!(Target::of(path).is_err(), "{path}");
        }
        for path in
            ["/api/a/...", "/api/a/..b", "/api/a/%252e%252e/b", "/api/a/b..", "/api/a/%2e", "/api/a/%", "/api/a//b"]
        {
            assert!(Target::of(path).is_ok(), "{path}");
        }
    }

    #[test]
    fn the_path_is_passed_on_byte_for_byte() {
        for (path, query, base, at) in [
            ("/api/a", None, "/", "/"),
            ("/api/a/", None, "/", "/"),
            ("/api/a", Some("x=1"), "/", "/?x=1"),
            ("/api/a/b", None, "/v1", "/v1/b"),
            ("/api/a/b", None, "/v1/", "/v1/b"),
            ("/api/a//b/%2F%e4?", Some("x=%20+&&"), "/", "//b/%2F%e4??x=%20+&&"),
        ] {
            assert_eq!(Target::of(path).expect("fine").at(base, query), at);
        }
    }
}
