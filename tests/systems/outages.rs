//! What goes on while PostgreSQL does not.

use std::time::Duration;

use marketplace::{config, data::database};
use serde_json::json;
use sqlx::PgPool;
use tokio::time::{Instant, sleep};

use crate::{
    proxy::{Mode, Proxy, Target},
    server::{TestServer, registration},
    service::Service,
};

#[sqlx::test]
async fn without_postgresql_services_are_called_and_keep_their_leases(db: PgPool) {
    let options = db.connect_options();
    let target = match options.get_socket() {
        Some(folder) => Target::Unix(folder.join(format!(".s.PGSQL.{}", options.get_port()))),
        None => Target::Tcp(format!("{}:{}", options.get_host(), options.get_port())),
    };
    let proxy = Proxy::start(target).await;
    let (user, name) = (options.get_username(), options.get_database().unwrap());
    let url = format!("postgres://{user}@{}/{name}?sslmode=disable", proxy.address);
    let pool = database::open(&config::Database::default(), &url).await.unwrap();
    let server = TestServer::with(pool, |config| {
        (config.registry.heartbeat_seconds, config.registry.suspect_seconds, config.registry.lease_seconds) = (1, 2, 3);
    })
    .await;
    let service = Service::start("one").await;
    server.register("open", service.port, json!({})).await.expect(201);
    server.register("closed", service.port, json!({"requires_auth": true})).await.expect(201);
    let ada = server.caller().with_token(&server.user("ada").await.token.unwrap());
    ada.get("//api/closed/x").await.expect(200);

    proxy.set(Mode::Cut);
    let deadline = Instant::now() + Duration::from_secs(5);
    while server.anyone().get("//health").await.status() == 200 {
        assert!(Instant::now() < deadline, "the outage is noticed");
        sleep(Duration::from_millis(50)).await;
    }
    let began = Instant::now();
    server.caller().get("//api/open/x").await.expect(200);
    ada.get("//api/open/x").await.expect(200);
    assert_eq!(ada.get("//api/closed/x").await.expect(503).header("x-gateway-error"), "unavailable");
    server.caller().get("//api/closed/x").await.expect(401);
    let program = server.program();
    program.post("//api/registry/heartbeat", json!({"service_id": "open"})).await.expect(200);
    assert_eq!(program.get("//api/registry/services").await.expect(200).json().as_array().unwrap().len(), 2);
    let refused = program.post("//api/registry/register", registration("new", 8010, json!({}))).await.expect(503);
    assert_eq!(refused.json()["code"], "unavailable");
    program.post("//api/registry/deregister/open", json!({})).await.expect(503);
    assert!(began.elapsed() < Duration::from_secs(2), "nothing waits for it");
    sleep(Duration::from_secs(4)).await;
    server.caller().get("//api/closed/x").await.expect(401);
    server.caller().get("//api/open/x").await.expect(200);

    proxy.set(Mode::Open);
    let deadline = Instant::now() + Duration::from_secs(5);
    while server.register("new", service.port, json!({})).await.status() != 201 {
        assert!(Instant::now() < deadline, "all is well again");
        sleep(Duration::from_millis(50)).await;
    }
    ada.get("//api/open/x").await.expect(200);
    program.post("//api/registry/deregister/open", json!({})).await.expect(200);
}
