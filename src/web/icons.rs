//! Line icons, drawn on a grid of 24.

/// The SVG of an icon; decoration only, so hidden from screen readers.
pub(super) fn icon(name: &str) -> &'static str {
    macro_rules! svg {
        ($paths:literal) => {
            concat!(
                r#"<svg class="icon" viewBox="0 0 24 24" width="18" height="18" fill="none" stroke="currentColor" stroke-width="1.75" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false">"#,
                $paths,
                "</svg>"
            )
        };
    }
    match name {
        "search" => svg!(r#"<circle cx="11" cy="11" r="7"/><path d="m20 20-3.8-3.8"/>"#),
        "download" => svg!(r#"<path d="M12 4v11m-4.5-4.5L12 15l4.5-4.5M4.5 19.5h15"/>"#),
        "star" => svg!(r#"<path d="m12 3.8 2.5 5.2 5.7.8-4.1 4 1 5.7-5.1-2.7-5.1 2.7 1-5.7-4.1-4 5.7-.8z"/>"#),
        "copy" => svg!(
            r#"<rect x="8.5" y="8.5" width="11" height="11" rx="2"/><path d="M15.5 8.5v-2a2 2 0 0 0-2-2h-7a2 2 0 0 0-2 2v7a2 2 0 0 0 2 2h2"/>"#
        ),
        "file" => svg!(r#"<path d="M13.5 3.5h-7v17h11v-13zv4h4"/>"#),
        "terminal" => {
            svg!(r#"<rect x="3" y="4.5" width="18" height="15" rx="2.5"/><path d="m7 9.5 3 2.5-3 2.5m5.5 0h4"/>"#)
        }
        "upload" => svg!(r#"<path d="M12 16V5m-4.5 4.5L12 5l4.5 4.5M4.5 19.5h15"/>"#),
        "user" => svg!(
            r#"<circle cx="12" cy="8.5" r="3.75"/><path d="M4.75 20c.9-3.6 3.7-5.25 7.25-5.25s6.35 1.65 7.25 5.25"/>"#
        ),
        "globe" => svg!(
            r#"<circle cx="12" cy="12" r="8.5"/><path d="M3.5 12h17M12 3.5c2.4 2.5 3.5 5.3 3.5 8.5s-1.1 6-3.5 8.5c-2.4-2.5-3.5-5.3-3.5-8.5s1.1-6 3.5-8.5z"/>"#
        ),
        "code" => svg!(r#"<path d="m8.5 7.5-4.5 4.5 4.5 4.500m7-9 4.5 4.5-4.5 4.5"/>"#),
        "clock" => svg!(r#"<circle cx="12" cy="12" r="8.5"/><path d="M12 7.500V12l3 2"/>"#),
        "tag" => svg!(r#"<path d="M4 4.500v7l8.5 8.5 7.5-7.5-8.5-8.500h-7z"/><circle cx="8.250" cy="8.250" r=".75"/>"#),
        "shield" => svg!(
            r#"<path d="M12 3.5 5 6v5.500c0 4.3 2.9 7.6 7 9 4.1-1.4 7-4.7 7-9V6z"/><path d="m9 11.750 2.2 2.2 3.9-4.2"/>"#
        ),
        "scale" => svg!(
            r#"<path d="M12 4v16m-4 0h8M5.5 7h13M5.5 7l-2.5 6c.8 1.3 4.2 1.3 5 0zm13 0L16 13c.8 1.3 4.2 1.3 5 0z"/>"#
        ),
        "feed" => svg!(r#"<path d="M5 11a8 8 0 0 1 8 8M5 5a14 14 0 0 1 14 14"/><circle cx="6" cy="18" r="1"/>"#),
        "warning" => svg!(r#"<path d="M12 4.5 3.5 19.500h17zM12 10.500v4"/><circle cx="12" cy="17" r=".4"/>"#),
        "check" => svg!(r#"<path d="m5 12.5 4.5 4.500L19 7.5"/>"#),
        "arrow" => svg!(r#"<path d="M5 12h14m-5.5-5.500L19 12l-5.5 5.5"/>"#),
        "filter" => svg!(r#"<path d="M4 6.500h16M7 12h10m-7 5.500h4"/>"#),
        "box" => {
            svg!(r#"<path d="m12 3.5 8 4.250v8.500l-8 4.250-8-4.250v-8.500zM4 7.750l8 4.250 8-4.250M12 12v8.5"/>"#)
        }
        _ => "",
    }
}
