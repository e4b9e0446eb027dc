//! Every error code the server itself gives, with its status, texts and advice: the one table behind
//! the answers, the OpenAPI document and `docs/errors.md`. What is wrong *inside* a package has its
//! codes in `package::CODES`.

use axum::http::StatusCode;

/// A stable error code. Texts may hold `{0}`, `{1}` for values of the occasion.
#[derive(Debug)]
pub struct Code {
    /// What programs compare; never changes with the language.
    pub code: &'static str,
    /// The HTTP status it comes with.
    pub status: StatusCode,
    /// Chinese text.
    pub zh: &'static str,
    /// English text.
    pub en: &'static str,
    /// What to do about it, in Chinese.
    pub advice_zh: &'static str,
    /// What to do about it, in English.
    pub advice_en: &'static str,
}

/// The status of a refusal of `package::inspect`.
pub fn status_of_package(code: &str) -> StatusCode {
    match code {
        "package_too_large" => StatusCode::PAYLOAD_TOO_LARGE,
        // Our disk is to blame, not the package.
        "read_failed" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// Makes a static of each code and lists all of them, so that none can be left out.
macro_rules! codes {
    ($($name:ident: $status:ident $code:literal {
        $zh:literal, $en:literal;
        $advice_zh:literal, $advice_en:literal;
    })*) => {
        $(#[doc = $en] pub static $name: Code = Code {
            code: $code,
            status: StatusCode::$status,
            zh: $zh,
            en: $en,
            advice_zh: $advice_zh,
            advice_en: $advice_en,
        };)*

        /// All of them, in the order of the documentation.
        pub static ALL: &[&Code] = &[$(&$name),*];
    };
}

codes! {
    // What any request can meet.
    INVALID_INPUT: BAD_REQUEST "invalid_input" {
        "请求参数有误", "The input is invalid";
        "按 details 逐项修改", "Correct each field named in details";
    }
    INVALID_JSON: BAD_REQUEST "invalid_json" {
        "请求体不是有效的 JSON 对象", "The body is not a valid JSON object";
        "检查 JSON 语法与 UTF-8 编码", "Check the JSON syntax and the UTF-8 encoding";
    }
    INVALID_PATH: BAD_REQUEST "invalid_path" {
        "路径含有空字符，或不是有效的 UTF-8 编码", "The path holds a NUL character or is not valid UTF-8";
        "去掉空字符，按 UTF-8 对路径做百分号编码", "Leave the NUL out and percent-encode the path as UTF-8";
    }
    INVALID_HOST: BAD_REQUEST "invalid_host" {
        "请求必须带有且仅带有一个有效的 Host 头", "The request must have exactly one valid Host header";
        "检查客户端或代理发送的 Host 头", "Check the Host header that the client or proxy sends";
    }
    INVALID_QUERY: BAD_REQUEST "invalid_query" {
        "参数含有空字符，或不是有效的 UTF-8 编码", "The parameters hold a NUL character or are not valid UTF-8";
        "去掉空字符，按 UTF-8 对参数做百分号编码", "Leave the NUL out and percent-encode the parameters as UTF-8";
    }
    TOO_MANY_PARAMETERS: BAD_REQUEST "too_many_parameters" {
        "参数超过 {0} 个", "There are more than {0} parameters";
        "减少参数", "Send fewer parameters";
    }
    NOT_FOUND: NOT_FOUND "not_found" {
        "没有这个地址", "There is nothing at this address";
        "对照 /api/docs 检查路径", "Compare the path with /api/docs";
    }
    METHOD_NOT_ALLOWED: METHOD_NOT_ALLOWED "method_not_allowed" {
        "此地址不支持该方法", "This address does not take this method";
        "使用 Allow 头列出的方法", "Use a method the Allow header lists";
    }
    UNSUPPORTED_MEDIA_TYPE: UNSUPPORTED_MEDIA_TYPE "unsupported_media_type" {
        "请求体类型应为 {0}", "The body must be {0}";
        "设置正确的 Content-Type", "Send the right Content-Type";
    }
    BODY_TOO_LARGE: PAYLOAD_TOO_LARGE "body_too_large" {
        "请求体过大", "The body is too large";
        "缩小请求体", "Send a smaller body";
    }
    URI_TOO_LONG: URI_TOO_LONG "uri_too_long" {
        "地址过长", "The address is too long";
        "缩短地址", "Send a shorter address";
    }
    RANGE_NOT_SATISFIABLE: RANGE_NOT_SATISFIABLE "range_not_satisfiable" {
        "范围超出了文件末尾", "The range begins behind the end of the file";
        "按 Content-Range 给出的大小请求", "Ask for less than the size in Content-Range";
    }
    BODY_INTERRUPTED: BAD_REQUEST "body_interrupted" {
        "请求体在传输中断开", "The body ended early";
        "重新发送", "Send it again";
    }
    REQUEST_TIMEOUT: REQUEST_TIMEOUT "request_timeout" {
        "请求超时", "The request took too long";
        "稍后重试", "Try again later";
    }
    RATE_LIMITED: TOO_MANY_REQUESTS "rate_limited" {
        "请求过于频繁，请 {0} 秒后再试", "Too many requests; try again in {0} seconds";
        "等待 Retry-After 指定的秒数", "Wait as long as Retry-After says";
    }
    FORM_EXPIRED: FORBIDDEN "form_expired" {
        "表单已失效，请返回并刷新页面后重试", "This form is no longer valid; go back, reload the page and try again";
        "刷新页面后重新提交", "Reload the page and send the form again";
    }
    UNAVAILABLE: SERVICE_UNAVAILABLE "unavailable" {
        "服务暂时不可用，请稍后再试", "The service is briefly unavailable; try again";
        "等待 Retry-After 指定的秒数后重试", "Try again after the time in Retry-After";
    }
    STORAGE_FULL: INSUFFICIENT_STORAGE "storage_full" {
        "服务器存储空间已满", "The server's disk is full";
        "请联系管理员", "Tell the operator";
    }
    INTERNAL: INTERNAL_SERVER_ERROR "internal_error" {
        "服务器内部错误", "Something went wrong in the server";
        "请附上 request_id 报告此问题", "Report it with the request_id";
    }

    // Who is asking.
    UNAUTHENTICATED: UNAUTHORIZED "unauthenticated" {
        "需要登录", "Sign in first";
        "发送 Authorization: Bearer 令牌", "Send Authorization: Bearer with a token";
    }
    INVALID_TOKEN: UNAUTHORIZED "invalid_token" {
        "令牌无效或已过期", "The token is invalid or has ended";
        "刷新令牌或重新登录", "Refresh the token or sign in again";
    }
    INVALID_CREDENTIALS: UNAUTHORIZED "invalid_credentials" {
        "用户名或密码错误", "Wrong username or password";
        "检查用户名和密码", "Check the username and the password";
    }
    ACCOUNT_DISABLED: FORBIDDEN "account_disabled" {
        "账号已被停用", "This account is disabled";
        "联系管理员", "Ask an administrator";
    }
    FORBIDDEN: FORBIDDEN "forbidden" {
        "权限不足", "You don’t have permission to do this";
        "换用有权限的账号", "Use an account that may";
    }
    NOT_OWNER: FORBIDDEN "not_owner" {
        "你不是插件 {0} 的所有者", "You do not own the plugin {0}";
        "请所有者邀请你，或换一个插件 ID", "Ask an owner to invite you, or choose another id";
    }
    TOKEN_SCOPE: FORBIDDEN "token_scope" {
        "此 API 令牌无权执行该操作", "This API token does not allow this";
        "创建带所需 scope 与 plugin_pattern 的令牌", "Make a token with the scope and plugin_pattern needed";
    }
    SESSION_REQUIRED: FORBIDDEN "session_required" {
        "此操作需要登录会话，不能使用 API 令牌", "This needs a signed-in session, not an API token";
        "使用登录得到的 access_token", "Use the access_token from signing in";
    }
    USERNAME_TAKEN: CONFLICT "username_taken" {
        "用户名已被使用", "The username is taken";
        "换一个用户名", "Choose another username";
    }
    EMAIL_TAKEN: CONFLICT "email_taken" {
        "邮箱已被使用", "The e-mail address is taken";
        "换一个邮箱，或直接登录", "Use another address, or sign in";
    }
    WRONG_PASSWORD: FORBIDDEN "wrong_password" {
        "原密码错误", "The old password is wrong";
        "检查原密码", "Check the old password";
    }
    INVITATION_NOT_FOUND: NOT_FOUND "invitation_not_found" {
        "邀请不存在或已失效", "There is no such invitation, or it has ended";
        "用 GET /auth/me/invitations 查看", "List them with GET /auth/me/invitations";
    }
    USER_NOT_FOUND: NOT_FOUND "user_not_found" {
        "用户不存在", "There is no such user";
        "检查用户名", "Check the username";
    }
    TOKEN_NOT_FOUND: NOT_FOUND "token_not_found" {
        "令牌不存在", "There is no such token";
        "用 GET /auth/tokens 查看", "List them with GET /auth/tokens";
    }
    TOO_MANY_TOKENS: CONFLICT "too_many_tokens" {
        "API 令牌数量已达上限 {0}", "You have the most API tokens allowed: {0}";
        "先删除不用的令牌", "Delete one you no longer use";
    }

    // Plugins.
    PLUGIN_NOT_FOUND: NOT_FOUND "plugin_not_found" {
        "插件不存在", "Plugin not found";
        "检查插件 ID", "Check the plugin's id";
    }
    VERSION_NOT_FOUND: NOT_FOUND "version_not_found" {
        "插件版本不存在", "The plugin has no such version";
        "用 GET /plugins/{id} 查看版本", "List the versions with GET /plugins/{id}";
    }
    PACKAGED_FILE_NOT_FOUND: NOT_FOUND "packaged_file_not_found" {
        "此版本中没有该文件", "The version holds no such file";
        "用 GET /plugins/{id}/versions/{version}/files 查看文件", "List the files with GET /plugins/{id}/versions/{version}/files";
    }
    PACKAGE_UNREADABLE: CONFLICT "package_unreadable" {
        "此版本的包是按旧规则接受的，不同的解压工具可能解出不同的内容，因此不予显示", "This version was accepted under older rules; unpackers may disagree about its content, so it is not shown";
        "用普通的 tar -czf 重新打包并发布新版本", "Pack it again with plain tar -czf and publish a new version";
    }
    VERSION_EXISTS: CONFLICT "version_exists" {
        "版本 {1} 已存在", "{0} {1} already exists";
        "提高版本号后重新上传；已发布的版本不可更改", "Raise the version and upload again; a published version never changes";
    }
    ID_RETIRED: CONFLICT "id_retired" {
        "插件 ID {0} 曾被删除，不能再用", "The id {0} belonged to a deleted plugin";
        "换一个 ID", "Choose another id";
    }
    ID_TOO_SIMILAR: CONFLICT "id_too_similar" {
        "插件 {0} 与已有的插件 {1} 过于相似", "The plugin {0} is too similar to the existing plugin {1}";
        "换一个更有区别的 id 和名称，或联系管理员", "Choose an id and a name that differ more, or ask an administrator";
    }
    PLUGIN_BANNED: FORBIDDEN "plugin_banned" {
        "插件 {0} 已被封禁", "The plugin {0} is banned";
        "联系管理员", "Ask an administrator";
    }
    FILE_MISSING: BAD_REQUEST "file_missing" {
        "未提供插件文件", "No plugin file was sent";
        "用 multipart 字段 plugin_file 上传", "Send it as the multipart field plugin_file";
    }
    FILE_REPEATED: BAD_REQUEST "file_repeated" {
        "一次只能上传一个插件文件", "Send one plugin file at a time";
        "只保留一个 plugin_file 字段", "Keep one plugin_file field";
    }
    FILE_TYPE: BAD_REQUEST "file_type" {
        "文件格式错误，请上传 .tar.gz 文件", "The file must be a .tar.gz";
        "用 tar -czf 打包", "Pack it with tar -czf";
    }
    INVALID_MULTIPART: BAD_REQUEST "invalid_multipart" {
        "multipart 请求体格式错误", "The multipart body is malformed";
        "检查 boundary 与字段", "Check the boundary and the fields";
    }
    PACKAGE_TOO_LARGE: PAYLOAD_TOO_LARGE "package_too_large" {
        "文件过大", "The package is over 100 MiB";
        "插件包最大 100 MiB，请缩小后重新上传", "Make the package smaller";
    }
    INVALID_PACKAGE: BAD_REQUEST "invalid_package" {
        "插件信息验证失败", "The package breaks the rules";
        "按 details 逐项修改", "Correct each fault named in details";
    }
    UNKNOWN_DEPENDENCY: BAD_REQUEST "unknown_dependency" {
        "依赖的插件不存在：{0}", "Unknown dependency: {0}";
        "先发布依赖，或更正其 id", "Publish the dependency first, or correct its id";
    }
    BANNED_DEPENDENCY: BAD_REQUEST "banned_dependency" {
        "依赖的插件已被封禁：{0}", "Banned dependency: {0}";
        "去掉该依赖", "Remove the dependency";
    }
    NO_OWN_RATING: NOT_FOUND "rating_not_found" {
        "评分不存在", "There is no such rating";
        "先提交评分", "Rate the plugin first";
    }
    OWN_PLUGIN: FORBIDDEN "own_plugin" {
        "不能给自己的插件评分", "You cannot rate a plugin you own";
        "请其他用户评分", "Leave rating it to others";
    }
    OWN_REVIEW: FORBIDDEN "own_review" {
        "不能把自己的评价标为有用", "You cannot vote for your own review";
        "请其他用户投票", "Leave voting for it to others";
    }
    REPLY_NOT_FOUND: NOT_FOUND "reply_not_found" {
        "此评价没有回复", "This review has no reply";
        "用 GET /plugins/{id}/ratings 查看", "List the reviews with GET /plugins/{id}/ratings";
    }
    REPORT_NOT_FOUND: NOT_FOUND "report_not_found" {
        "举报不存在", "There is no such report";
        "用 GET /admin/reports 查看", "List them with GET /admin/reports";
    }
    REPORT_CLOSED: CONFLICT "report_closed" {
        "该举报已处理", "This report is closed already";
        "用 GET /admin/reports?state=closed 查看处理结果", "Read its resolution with GET /admin/reports?state=closed";
    }
    LAST_OWNER: CONFLICT "last_owner" {
        "最后一位所有者不能移除", "The last owner cannot leave";
        "先添加另一位所有者", "Add another owner first";
    }
    OWNER_NOT_FOUND: NOT_FOUND "owner_not_found" {
        "该用户不是所有者", "That user is not an owner";
        "用 GET /plugins/{id}/owners 查看", "List them with GET /plugins/{id}/owners";
    }
    HAS_DEPENDENTS: CONFLICT "has_dependents" {
        "有其他插件依赖 {0}，不能删除", "Other plugins depend on {0}";
        "改为封禁，或先处理依赖它的插件", "Ban it instead, or deal with its dependents first";
    }
    SELF_LOCKOUT: CONFLICT "self_lockout" {
        "不能停用或降级自己的账号", "You cannot disable or demote yourself";
        "请另一位管理员操作", "Ask another administrator";
    }

    // Services.
    SERVICE_NOT_FOUND: NOT_FOUND "service_not_found" {
        "服务不存在", "There is no such service";
        "用 GET /api/registry/services 查看已注册的服务", "List the services with GET /api/registry/services";
    }
    ENDPOINT_UNKNOWN: NOT_FOUND "endpoint_unknown" {
        "服务未声明此端点", "The service does not declare this endpoint";
        "在注册时声明该端点", "Declare the endpoint when registering";
    }
    SERVICE_NAME_RESERVED: CONFLICT "service_name_reserved" {
        "服务名 {0} 为保留名称", "The service name {0} is reserved";
        "换一个服务名", "Choose another name";
    }
    TOO_MANY_SERVICES: CONFLICT "too_many_services" {
        "服务或实例数量已达上限 {0}", "There are as many services or instances as allowed: {0}";
        "先注销不用的服务或实例", "Deregister some that are no longer used";
    }
    NOT_SERVICE_OWNER: FORBIDDEN "not_service_owner" {
        "服务 {0} 由其他主体注册", "The service {0} was registered by somebody else";
        "换一个服务名，或使用注册时的凭据", "Choose another name, or use the credentials it was registered with";
    }
    UPSTREAM_FORBIDDEN: FORBIDDEN "upstream_forbidden" {
        "不允许连接服务地址 {0}", "Connections to the host {0} are not allowed";
        "注册调用方自己的地址，或请管理员加入 gateway.upstream_allow", "Register the address you call from, or ask the operator for an entry in gateway.upstream_allow";
    }
    PERMISSION_DENIED: FORBIDDEN "permission_denied" {
        "无权执行该操作", "This is not permitted";
        "使用管理员会话或带 services 权限的 API 令牌", "Use an administrator's session or an API token with the scope services";
    }
    UNSAFE_PATH: BAD_REQUEST "unsafe_path" {
        "路径含有 .. 段", "The path has a .. segment";
        "去掉路径中的 ..", "Leave .. out of the path";
    }
    UPSTREAM_UNREACHABLE: BAD_GATEWAY "upstream_unreachable" {
        "无法连接服务，或其应答无效", "The service cannot be reached or did not answer properly";
        "检查服务是否在运行", "See whether the service runs";
    }
    SERVICE_UNAVAILABLE: SERVICE_UNAVAILABLE "service_unavailable" {
        "服务暂时没有可用的实例", "The service has no instance available at the moment";
        "等待 Retry-After 指定的秒数后重试", "Try again after the time in Retry-After";
    }
    UPSTREAM_TIMEOUT: GATEWAY_TIMEOUT "upstream_timeout" {
        "服务应答超时", "The service did not answer in time";
        "稍后重试，或调大 metadata.timeout_ms", "Try again, or raise metadata.timeout_ms";
    }
}
