//! The OpenAPI document, made from the handlers' own annotations.

use axum::{
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use serde_json::{Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{InfoBuilder, LicenseBuilder, OpenApi, RefOr},
};

use crate::{
    error::{FailureBody, codes},
    http::{cached_response::CachedResponse, middleware::BASES},
};

/// Every stable error code, the server's and the packages', each once.
pub fn error_codes() -> impl Iterator<Item = &'static str> {
    let known = |code: &str| codes::ALL.iter().any(|ours| ours.code == code);
    let of_packages = package::CODES.iter().map(|code| code.code).filter(move |code| !known(code));
    codes::ALL.iter().map(|code| code.code).chain(of_packages)
}

/// Adds what all operations have in common: the base, failures, security, and the list of codes.
pub fn complete(mut document: OpenApi) -> Value {
    document.info = InfoBuilder::new()
        .title("GeekTools Marketplace")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Find, verify and install GeekTools plugins. 查找、核对并安装 GeekTools 插件。"))
        .license(Some(LicenseBuilder::new().name("MIT").identifier(Some("MIT")).build()))
        .build();
    let components = document.components.get_or_insert_default();
    let mut schemas = vec![(FailureBody::name().into_owned(), FailureBody::schema())];
    FailureBody::schemas(&mut schemas);
    components.schemas.extend(schemas.into_iter().map(|(name, schema): (String, RefOr<_>)| (name, schema)));
    // What is the same everywhere is easier said in JSON than in a builder's types.
    let mut document = serde_json::to_value(&document).unwrap_or_default();
    document["servers"] = json!([{ "url": BASES[0] }]);
    document["components"]["securitySchemes"]["bearer"] = json!({
        "type": "http", "scheme": "bearer", "description": "An access token from signing in, or an API token (gtm_…)",
    });
    document["components"]["schemas"]["Failure"]["properties"]["code"]["enum"] = error_codes().collect();
    // The router's spelling of a path that may hold slashes means nothing to readers of the document.
    if let Some(paths) = document["paths"].as_object_mut() {
        *paths = std::mem::take(paths).into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
        // What stands at the root, as a document of the customer has it, is not below the base.
        for (path, item) in paths.iter_mut() {
            if ["/api/", "/gateway/"].iter().any(|root| path.starts_with(root)) {
                item["servers"] = json!([{ "url": "/" }]);
            }
        }
    }
    let failure = json!({ "description": "A failure, see `code`", "content": { "application/json": {
        "schema": { "$ref": "#/components/schemas/Failure" } } } });
    for operation in
        document["paths"].as_object_mut().into_iter().flatten().flat_map(|(_, path)| path.as_object_mut()).flatten()
    {
        if let Some(responses) = operation.1.get_mut("responses").and_then(Value::as_object_mut) {
            responses.insert("4XX".into(), failure.clone());
            responses.insert("5XX".into(), failure.clone());
        }
    }
    document
}

/// The document as an answer.
pub fn answer(document: &CachedResponse, request: &HeaderMap) -> Response {
    let mut response = document.respond(request);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}
