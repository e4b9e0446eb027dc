//! Redirects within this site: the one place of the website that writes a `Location`, so that no text of a user can break
//! the header or lead to another site.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// What no address may hold as it is (RFC 3986); anything beyond ASCII is encoded in any case.
const NOT_IN_ADDRESSES: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

/// Whether this is a path of this site in the form browsers send: they read `//host` and `/\host` as another site, and
/// leave control characters out before they look.
pub(super) fn is_local(path: &str) -> bool {
    path.starts_with('/') && !path.starts_with("//") && path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
}

/// The page that holds the form which is sent to this path.
pub(super) fn page_of_form(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        ["", "publish", ..] => "/publish".to_owned(),
        ["", "account", "invitations"] => "/account/plugins".to_owned(),
        ["", "plugins", id, page, _, ..] => format!("/plugins/{id}/{page}"),
        _ => path.to_owned(),
    }
}

/// 303: go on with a GET of this path.
pub(super) fn see_other(path: &str) -> Response {
    redirect(StatusCode::SEE_OTHER, path)
}

/// 308: this path, from now on.
pub(super) fn permanent(path: &str) -> Response {
    redirect(StatusCode::PERMANENT_REDIRECT, path)
}

fn redirect(status: StatusCode, path: &str) -> Response {
    let path = utf8_percent_encode(path, NOT_IN_ADDRESSES).to_string();
    let target = HeaderValue::from_str(&path).ok().filter(|_| is_local(&path));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(header::LOCATION, target.unwrap_or(HeaderValue::from_static("/")));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_always_a_path_of_this_site() {
        let location = |path| see_other(path).headers()[header::LOCATION].to_str().expect("ASCII").to_owned();
        assert_eq!(location("/plugins?q=a%20b&page=2"), "/plugins?q=a%20b&page=2");
        assert_eq!(location("/plugins?q=日 志\r\nx: y"), "/plugins?q=%E6%97%A5%20%E5%BF%97%0D%0Ax:%20y");
        assert_eq!(location("/\\evil.example/"), "/%5Cevil.example/");
        for elsewhere in ["//evil.example", "https://evil.example", "javascript:x", ""] {
            assert_eq!(location(elsewhere), "/", "{elsewhere}");
        }
    }

    #[test]
    fn nobody_is_sent_to_another_site() {
        for path in [
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "javascript:x",
            "",
            "/\t/evil",
            "/\u{1}",
            "/日",
            "/a b",
        ] {
            assert!(!is_local(path), "{path:?}");
        }
        assert!(is_local("/plugins?q=%E6%97%A5"));
    }
}
