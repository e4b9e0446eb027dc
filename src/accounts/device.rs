//! What a sign-in came from: the kind of program, the operating system, the address.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};

use crate::limits::Client;

/// The longest name of a program that is kept.
const MAX_NAME: usize = 40;

/// Browsers by what their `User-Agent` holds. Most claim to be others as well, so the first that fits counts.
const BROWSERS: [(&str, &str); 10] = [
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("MicroMessenger/", "WeChat"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chromium/", "Chromium"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
];

/// Operating systems in the same way.
const SYSTEMS: [(&str, &str); 7] = [
    ("Windows", "Windows"),
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
];

/// What a request to sign in came from.
#[derive(Debug)]
pub struct Device {
    /// The address.
    pub client: Client,
    /// The program, such as `Firefox` or `curl`; none when it did not say.
    pub browser: Option<String>,
    /// Its operating system, such as `Windows`.
    pub system: Option<&'static str>,
}

impl Device {
    fn of(client: Client, user_agent: &str) -> Self {
        let find = |known: &[(&str, &'static str)]| {
            known.iter().find(|(part, _)| user_agent.contains(part)).map(|(_, name)| *name)
        };
        let browser = find(&BROWSERS).map(str::to_owned).or_else(|| program(user_agent));
        Self { client, browser, system: find(&SYSTEMS) }
    }
}

/// The first product of a `User-Agent` that is no browser's: `curl` of `curl/8.5.0`.
fn program(user_agent: &str) -> Option<String> {
    let name = user_agent.split([' ', '/']).next().unwrap_or_default();
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let is_plain = !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(is_name);
    // Browsers that are not known begin with this name.
    (is_plain && name != "Mozilla").then(|| name.to_owned())
}

impl<S: Sync> FromRequestParts<S> for Device {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let client = Client::from_request_parts(parts, state).await?;
        let user_agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        Ok(Self::of(client, user_agent.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(user_agent: &str) -> (Option<String>, Option<&'static str>) {
        let device = Device::of(Client([192, 0, 2, 1].into()), user_agent);
        (device.browser, device.system)
    }

    #[test]
    fn browsers_are_named_although_they_claim_to_be_others() {
        let webkit = "AppleWebKit/537.36 (KHTML, like Gecko)";
        for (user_agent, browser, system) in [
            ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox", "Windows"),
            (&format!("Mozilla/5.0 (X11; Linux x86_64) {webkit} Chrome/141.0 Safari/537.36"), "Chrome", "Linux"),
            (
                &format!("Mozilla/5.0 (Windows NT 10.0) {webkit} Chrome/141.0 Safari/537.36 Edg/141.0"),
                "Edge",
                "Windows",
            ),
            (
                &format!("Mozilla/5.0 (Linux; Android 15) {webkit} Chrome/141.0 Mobile Safari/537.36"),
                "Chrome",
                "Android",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605 Version/18 Safari/605",
                "Safari",
                "macOS",
            ),
            ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18 Safari/604", "Safari", "iPhone"),
        ] {
            assert_eq!(named(user_agent), (Some(browser.to_owned()), Some(system)), "{user_agent}");
        }
    }

    #[test]
    fn other_programs_are_named_by_their_first_word_and_nothing_odd_is_kept() {
        assert_eq!(named("curl/8.5.0"), (Some("curl".into()), None));
        assert_eq!(named("python-requests/2.32 (Linux)"), (Some("python-requests".into()), Some("Linux")));
        for odd in ["", " ", "/1.0", "Mozilla/5.0", "<b>/1", &"x".repeat(MAX_NAME + 1)] {
            assert_eq!(named(odd).0, None, "{odd}");
        }
    }
}
