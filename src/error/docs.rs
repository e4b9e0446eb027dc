//! `docs/errors.md`, made from the tables the answers themselves come from.

use std::fmt::Write;

use axum::http::StatusCode;

use crate::error::codes::{self, status_of_package};

const HEAD: &str = "\
# Error codes · 错误码

Every failure is answered in one envelope:

```json
{\"success\": false, \"error\": \"插件不存在\", \"code\": \"plugin_not_found\", \"request_id\": \"0197…\"}
```

`code` is stable: programs compare it, and it is the same in every language. `error` is for people: Chinese by default,
English when `Accept-Language` prefers it. A rejected body or package also has `details`, a list of
`{\"field\": …, \"message\": …}` that names every fault found. `request_id` (also in the header `X-Request-Id`) finds the request
in the server's log. In the texts below `{0}` and `{1}` stand for values of the occasion.

`code` 稳定不变，供程序判断；`error` 供人阅读，默认中文，`Accept-Language` 偏好英文时为英文。请求体或插件包被拒绝时，`details`
逐项列出发现的全部问题。`request_id`（同响应头 `X-Request-Id`）可用于在服务器日志中查找该请求。下表中的 `{0}`、`{1}` 代表具体的值。

<!-- This page is generated; to renew it: REWRITE_DOCS=1 cargo test --test api documents -->
";

const COLUMNS: &str = "| code | HTTP | 中文 | English | 怎么办 | What to do |\n|---|---|---|---|---|---|\n";

/// The page on every error code.
pub fn errors_page() -> String {
    let mut page = format!("{HEAD}\n## Requests · 请求\n\n{COLUMNS}");
    for code in codes::ALL {
        row(&mut page, code.code, code.status, [code.zh, code.en, code.advice_zh, code.advice_en]);
    }
    page.push_str(
        "\n## Packages · 插件包\n\nWhat can be wrong inside an uploaded package. 上传的插件包可能存在的问题。\n\n",
    );
    page.push_str(COLUMNS);
    for doc in package::CODES.iter().filter(|doc| codes::ALL.iter().all(|code| code.code != doc.code)) {
        row(&mut page, doc.code, status_of_package(doc.code), [doc.zh, doc.en, doc.advice_zh, doc.advice_en]);
    }
    page
}

fn row(page: &mut String, code: &str, status: StatusCode, texts: [&str; 4]) {
    let [zh, en, advice_zh, advice_en] = texts.map(|text| text.replace('|', "\\|").replace('<', "&lt;"));
    let status = status.as_u16();
    let _ = writeln!(page, "| `{code}` | {status} | {zh} | {en} | {advice_zh} | {advice_en} |");
}
