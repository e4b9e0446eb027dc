//! What administrators see of services, and what they do with them.

use reqwest::Method;
use serde_json::json;
use sqlx::PgPool;

use crate::{
    server::{Answer, TestServer},
    service::Service,
};

/// A browser signed in with this token asks for a page.
async fn page(server: &TestServer, token: &str, path: &str) -> Answer {
    let request = server.anyone().request(Method::GET, path).header("cookie", format!("session={token}"));
    Answer::of(request.header("accept", "text/html").header("accept-language", "en")).await
}

#[sqlx::test]
async fn an_administrator_sees_services_and_switches_them_off(db: PgPool) {
    let server = TestServer::new(db).await;
    let service = Service::start("one").await;
    let more = json!({"display_name": "<b>Shown</b>", "description": "what it does"});
    server.register("shown", service.port, more).await.expect(201);
    server.caller().get("//api/shown/x").await.expect(200);
    let (root, ada) = (server.admin("root").await.token.unwrap(), server.user("ada").await.token.unwrap());
    assert_ne!(page(&server, &ada, "//admin/services").await.status(), 200);
    let list = page(&server, &root, "//admin/services").await.expect(200).text();
    assert!(list.contains("/admin/services/shown") && list.contains("&#60;b&#62;Shown"), "{list}");
    let one = page(&server, &root, "//admin/services/shown").await.expect(200).text();
    for text in ["what it does", &format!("127.0.0.1:{}", service.port), "Requests by minute", "<svg", "trusted"] {
        assert!(one.contains(text), "{text}: {one}");
    }
    page(&server, &root, "//admin/services/missing").await.expect(404);
    let token = one.split("name=\"form_token\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let send = async |what: &str, more: &str| {
        let body = format!("form_token={token}&name=shown&what={what}{more}");
        let request =
            server.anyone().request(Method::POST, "//admin/services").header("cookie", format!("session={root}"));
        Answer::of(request.header("content-type", "application/x-www-form-urlencoded").body(body)).await
    };
    send("disable", "").await.expect(303);
    let refused = server.caller().get("//api/shown/x").await.expect(503);
    assert_eq!(refused.header("x-gateway-error"), "service_unavailable");
    server.program().post("//api/registry/heartbeat", json!({"service_id": "shown"})).await.expect(200);
    server.register("shown", service.port, json!({})).await.expect(200);
    server.caller().get("//api/shown/x").await.expect(503);
    send("enable", "").await.expect(303);
    server.caller().get("//api/shown/x").await.expect(200);
    assert_eq!(send("remove", "").await.status(), 200, "asks first");
    server.caller().get("//api/shown/x").await.expect(200);
    send("remove", "&confirmed=yes").await.expect(303);
    server.caller().get("//api/shown/x").await.expect(404);
}
