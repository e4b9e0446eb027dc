//! Accounts under attack: forged tokens, stolen tokens, guessed passwords.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jsonwebtoken::{Algorithm, EncodingKey};
use ring::hmac;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::app::{Answer, Client, TestApp};

const SECRET: &[u8] = b"8e0f2c1b7d6a59483726150f1e2d3c4b";

/// Base64 as JWTs have it (RFC 4648, section 5, without padding).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            text.push(DIGITS[(group >> (18 - 6 * digit) & 63) as usize] as char);
        }
    }
    text
}

/// A token with any header, signed with HS256 whatever the header says.
fn forge(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let signed = format!("{}.{}", base64(header.to_string().as_bytes()), base64(claims.to_string().as_bytes()));
    let key = EncodingKey::from_secret(secret);
    format!("{signed}.{}", jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).unwrap())
}

fn claims_of(token: &str) -> Value {
    jsonwebtoken::dangerous::insecure_decode(token).unwrap().claims
}

async fn log_in(client: &Client, name: &str, password: &str) -> Answer {
    client.post("/auth/login", json!({"username": name, "password": password})).await
}

#[sqlx::test]
async fn forged_tokens_are_refused(db: PgPool) {
    let secret = String::from_utf8(SECRET.to_vec()).unwrap();
    let app = TestApp::with(db, |config| config.auth.jwt_secret = secret.into()).await;
    let (ada, root) = (app.user("ada").await, app.admin("root").await);
    let real = ada.token.clone().unwrap();
    let claims = claims_of(&real);
    let others = claims_of(&root.token.unwrap());
    let plain = json!({"alg": "HS256", "typ": "JWT"});
    let with = |field: &str, value: Value| {
        let mut claims = claims.clone();
        claims[field] = value;
        claims
    };
    let without = |field: &str| {
        let mut claims = claims.clone();
        claims.as_object_mut().unwrap().remove(field);
        claims
    };
    let signed = |name: &str, algorithm, key: &[u8]| {
        let header = json!({"alg": name, "typ": "JWT"});
        let text = format!("{}.{}", base64(header.to_string().as_bytes()), base64(claims.to_string().as_bytes()));
        let signature = hmac::sign(&hmac::Key::new(algorithm, key), text.as_bytes());
        format!("{text}.{}", base64(signature.as_ref()))
    };
    let parts: Vec<&str> = real.split('.').collect();
    let [head, payload, signature] = parts[..] else { panic!("no JWT") };
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let unsigned = |header: Value| format!("{}.{payload}.", base64(header.to_string().as_bytes()));

    let forged = [
        ("no algorithm", unsigned(json!({"alg": "none", "typ": "JWT"}))),
        ("no algorithm, in capitals", unsigned(json!({"alg": "NONE"}))),
        ("no algorithm, with a signature", forge(&json!({"alg": "none"}), &claims, SECRET)),
        ("an empty algorithm", forge(&json!({"alg": ""}), &claims, SECRET)),
        ("an algorithm that is no text", forge(&json!({"alg": null}), &claims, SECRET)),
        ("no header", forge(&json!({}), &claims, SECRET)),
        ("another key", signed("HS256", hmac::HMAC_SHA256, b"another secret of 32 characters!")),
        ("an empty key", signed("HS256", hmac::HMAC_SHA256, b"")),
        ("HS384", signed("HS384", hmac::HMAC_SHA384, SECRET)),
        ("HS512", signed("HS512", hmac::HMAC_SHA512, SECRET)),
        ("RS256 signed like HS256", forge(&json!({"alg": "RS256", "typ": "JWT"}), &claims, SECRET)),
        ("ES256 signed like HS256", forge(&json!({"alg": "ES256", "typ": "JWT"}), &claims, SECRET)),
        (
            "a key of its own",
            forge(&json!({"alg": "HS256", "jwk": {"kty": "oct", "k": "YQ"}, "kid": "../../dev/null"}), &claims, b"a"),
        ),
        ("expired", forge(&plain, &with("exp", json!(now - 1)), SECRET)),
        ("no expiry", forge(&plain, &without("exp"), SECRET)),
        ("an expiry that is no number", forge(&plain, &with("exp", json!("never")), SECRET)),
        ("another user", forge(&plain, &with("sub", others["sub"].clone()), SECRET)),
        ("another's session", forge(&plain, &with("sid", others["sid"].clone()), SECRET)),
        ("a session that is none", forge(&plain, &with("sid", json!(uuid::Uuid::now_v7())), SECRET)),
        ("a refresh token's use", forge(&plain, &with("use", json!("refresh")), SECRET)),
        ("no use", forge(&plain, &without("use"), SECRET)),
        ("an altered payload", format!("{head}.{}.{signature}", base64(others.to_string().as_bytes()))),
        ("an altered header", format!("{}.{payload}.{signature}", base64(b"{\"alg\":\"HS256\",\"typ\":\"JWS\"}"))),
        ("no signature", format!("{head}.{payload}.")),
        ("half a signature", format!("{head}.{payload}.{}", &signature[..20])),
        ("two parts", format!("{head}.{payload}")),
        ("four parts", format!("{real}.x")),
        ("twice", format!("{real},{real}")),
        ("garbage", "garbage".to_owned()),
        ("dots", "..".to_owned()),
        ("an API token that is none", format!("gtm_{}", "0".repeat(64))),
        ("an empty API token", "gtm_".to_owned()),
        ("SQL", "gtm_' or '1'='1".to_owned()),
        ("huge", format!("{head}.{}.{signature}", "A".repeat(40_000))),
    ];
    for (name, token) in &forged {
        let answer = ada.with_token(token).get("/auth/me").await;
        assert_eq!((answer.status(), answer.code().as_str()), (401, "invalid_token"), "{name}");
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{name}");
    }
    ada.with_token(&forge(&plain, &claims, SECRET)).get("/auth/me").await.expect(200);
    for (name, token) in &forged {
        let refreshed = app.anyone().post("/auth/refresh", json!({"refresh_token": token})).await;
        assert_eq!(refreshed.status(), 401, "{name} as a refresh token");
    }
    for scheme in ["Basic", "bearer2", "Token", ""] {
        let request = app.anyone().request(reqwest::Method::GET, "/auth/me");
        let answer = Answer::of(request.header("authorization", format!("{scheme} {real}"))).await;
        assert_eq!(answer.status(), 401, "{scheme}");
    }
}

#[sqlx::test]
async fn of_two_refreshes_at_once_one_wins_and_the_session_ends(db: PgPool) {
    let app = TestApp::new(db).await;
    app.user("ada").await;
    for _ in 0..5 {
        let data = log_in(&app.anyone(), "ada", "correct horse").await.expect(200).data();
        let body = json!({"refresh_token": data["refresh_token"]});
        let answers = join_all((0..4).map(|_| {
            let (client, body) = (app.anyone(), body.clone());
            async move { client.post("/auth/refresh", body).await }
        }))
        .await;
        let won: Vec<&Answer> = answers.iter().filter(|answer| answer.status() == 200).collect();
        assert_eq!(won.len(), 1);
        assert!(answers.iter().all(|answer| matches!(answer.status(), 200 | 401)));
        // Who of them is the thief cannot be known, so none of the tokens works any more.
        let access = won[0].data()["access_token"].as_str().unwrap().to_owned();
        app.anyone().with_token(&access).get("/auth/me").await.refused(401, "invalid_token");
        let last = json!({"refresh_token": won[0].data()["refresh_token"]});
        app.anyone().post("/auth/refresh", last).await.refused(401, "invalid_token");
    }
}

#[sqlx::test]
async fn an_unknown_user_takes_as_long_as_a_wrong_password(db: PgPool) {
    let app = TestApp::new(db).await;
    app.user("ada").await;
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    // In turns, so that whatever else the machine does falls on both alike.
    for round in 0..40 {
        for (name, times) in [("ada".to_owned(), &mut known), (format!("nobody{round}"), &mut unknown)] {
            let started = Instant::now();
            log_in(&app.anyone(), &name, "wrong password").await.refused(401, "invalid_credentials");
            times.push(started.elapsed());
        }
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        times[times.len() / 2].as_secs_f64()
    };
    let (known, unknown) = (median(&mut known), median(&mut unknown));
    println!(
        "wrong password {:.1} ms, unknown user {:.1} ms, ratio {:.3}",
        known * 1e3,
        unknown * 1e3,
        unknown / known
    );
    assert!((0.75..1.33).contains(&(unknown / known)), "{known} and {unknown}");
}

/// A server behind a proxy, so that a test can come from any address.
async fn proxied(db: PgPool, account: &str, address: &str) -> TestApp {
    TestApp::with(db, |config| {
        config.limits.enabled = true;
        config.limits.login_account = account.parse().unwrap();
        config.limits.login = address.parse().unwrap();
        config.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await
}

async fn log_in_from(app: &TestApp, address: &str, name: &str, password: &str) -> Answer {
    let request = app.anyone().request(reqwest::Method::POST, "/auth/login").header("x-forwarded-for", address);
    Answer::of(request.json(&json!({"username": name, "password": password}))).await
}

#[sqlx::test]
async fn wrong_passwords_are_limited_per_account_from_wherever_they_come(db: PgPool) {
    let app = proxied(db, "5/day", "1000/day").await;
    app.user("ada").await;
    app.user("bob").await;
    for i in 0..5 {
        // In any spelling it is one name.
        let name = ["ada", "ADA"][i % 2];
        log_in_from(&app, &format!("192.0.2.{i}"), name, "wrong").await.refused(401, "invalid_credentials");
    }
    let refused = log_in_from(&app, "192.0.2.99", "Ada", "correct horse").await;
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
    refused.refused(429, "rate_limited");
    log_in_from(&app, "192.0.2.99", "bob", "correct horse").await.expect(200);
    // Names nobody has are limited alike, so that a refusal does not tell which exist.
    for _ in 0..5 {
        log_in_from(&app, "192.0.2.7", "nobody", "wrong").await.refused(401, "invalid_credentials");
    }
    log_in_from(&app, "192.0.2.8", "nobody", "wrong").await.refused(429, "rate_limited");
}

#[sqlx::test]
async fn an_email_buys_no_further_guesses_and_is_not_told_to_belong_to_a_name(db: PgPool) {
    let app = proxied(db.clone(), "5/day", "1000/day").await;
    app.user("ada").await;
    app.user("bob").await;
    for i in 0..5 {
        log_in_from(&app, &format!("192.0.2.{i}"), "ada", "wrong").await.refused(401, "invalid_credentials");
    }
    log_in_from(&app, "192.0.2.9", "ada", "wrong").await.refused(429, "rate_limited");
    // Her address, that of somebody else and that of nobody are answered alike, and to none of hers is a guess accepted.
    for email in ["ada@example.org", "bob@example.org", "nobody@example.org"] {
        for i in 0..5 {
            let password = if email.starts_with("ada") { "correct horse" } else { "wrong" };
            let answer = log_in_from(&app, &format!("198.51.100.{i}"), email, password).await;
            answer.refused(401, "invalid_credentials");
        }
        log_in_from(&app, "198.51.100.9", email, "wrong").await.refused(429, "rate_limited");
    }
    // The same from an address that he signed in from before.
    let home = "203.0.113.7";
    let app = proxied(db, "5/day", "1000/day").await;
    log_in_from(&app, home, "bob", "correct horse").await.expect(200);
    for _ in 0..5 {
        log_in_from(&app, home, "bob", "wrong").await.refused(401, "invalid_credentials");
    }
    log_in_from(&app, home, "bob@example.org", "correct horse").await.refused(401, "invalid_credentials");
}

#[sqlx::test]
async fn wrong_passwords_from_elsewhere_keep_nobody_out(db: PgPool) {
    let app = proxied(db.clone(), "5/day", "1000/day").await;
    app.user("ada").await;
    let (home, work) = ("203.0.113.1", "2001:db8:1:2:3:4:5:6");
    log_in_from(&app, home, "ada", "correct horse").await.expect(200);
    let signed_in = log_in_from(&app, work, "ada@example.org", "correct horse").await.expect(200).data();
    let attack = async || {
        for name in ["ada", "ada@example.org"] {
            for i in 0..6 {
                log_in_from(&app, &format!("192.0.2.{i}"), name, "wrong").await;
            }
            log_in_from(&app, "192.0.2.99", name, "correct horse").await.refused(429, "rate_limited");
        }
    };
    attack().await;
    // Whoever signed in from an address before still does, under either name, from anywhere in an IPv6 network.
    for address in [home, work, "2001:db8:1:2::ffff"] {
        for name in ["ada", "ADA@example.org"] {
            log_in_from(&app, address, name, "correct horse").await.expect(200);
        }
    }
    // Whoever is signed in changes the password, wherever the session is.
    let ada = app.anyone().with_token(signed_in["access_token"].as_str().unwrap());
    let change = async |old: &str, new: &str| {
        ada.post("/auth/password", json!({"old_password": old, "new_password": new})).await
    };
    change("correct horse", "better horse").await.expect(200);
    log_in_from(&app, home, "ada", "better horse").await.expect(200);
    // Known addresses have a budget too, each its own.
    for _ in 0..5 {
        log_in_from(&app, home, "ada", "wrong").await.refused(401, "invalid_credentials");
        change("wrong", "other horse").await.refused(403, "wrong_password");
    }
    log_in_from(&app, home, "ada", "better horse").await.refused(429, "rate_limited");
    change("better horse", "other horse").await.refused(429, "rate_limited");
    log_in_from(&app, work, "ada", "better horse").await.expect(200);
    // What is kept of an address does not tell it, and not for ever.
    let kept: Vec<String> =
        sqlx::query_scalar("select address_hash from known_addresses").fetch_all(&db).await.unwrap();
    assert_eq!(kept.len(), 3, "one a network: {kept:?}");
    assert!(kept.iter().all(|hash| hash.len() == 43 && !hash.contains('.')), "{kept:?}");
    sqlx::query("update known_addresses set last_used_at = now() - interval '91 days'").execute(&db).await.unwrap();
    log_in_from(&app, work, "ada", "better horse").await.refused(429, "rate_limited");
    marketplace::app::tidy_once(&app.state, Duration::ZERO).await.unwrap();
    let kept: i64 = sqlx::query_scalar("select count(*) from known_addresses").fetch_one(&db).await.unwrap();
    assert_eq!(kept, 0);
}

#[sqlx::test]
async fn wrong_passwords_are_limited_per_address_over_all_accounts(db: PgPool) {
    let app = proxied(db, "1000/day", "5/day").await;
    app.user("ada").await;
    for i in 0..5 {
        log_in_from(&app, "192.0.2.1", &format!("user{i}"), "wrong").await.refused(401, "invalid_credentials");
    }
    log_in_from(&app, "192.0.2.1", "ada", "correct horse").await.refused(429, "rate_limited");
    log_in_from(&app, "192.0.2.2", "ada", "correct horse").await.expect(200);
    // Right passwords cost nothing.
    for _ in 0..10 {
        log_in_from(&app, "192.0.2.2", "ada", "correct horse").await.expect(200);
    }
    // A network of IPv6 is one address: whoever has one has all of it.
    for i in 0..5 {
        log_in_from(&app, &format!("2001:db8::{i}"), &format!("user{i}"), "wrong")
            .await
            .refused(401, "invalid_credentials");
    }
    log_in_from(&app, "2001:db8::ffff:1", "ada", "correct horse").await.refused(429, "rate_limited");
}

#[sqlx::test]
async fn many_wrong_passwords_at_once_do_not_slip_through(db: PgPool) {
    let app = proxied(db, "5/day", "1000/day").await;
    app.user("ada").await;
    let answers = join_all((0..60).map(|i| {
        let app = &app;
        async move { log_in_from(app, &format!("192.0.2.{i}"), "ada", "wrong").await.status() }
    }))
    .await;
    let tried = answers.iter().filter(|status| **status == 401).count();
    let refused = answers.iter().filter(|status| **status == 429).count();
    println!("of 60 wrong passwords at once {tried} were tried, {refused} refused");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    assert!(tried <= 5 + cores && tried + refused == 60, "{tried} were tried");
}

#[sqlx::test]
async fn wrong_tokens_use_up_the_address_not_the_users(db: PgPool) {
    let app = TestApp::with(db, |config| {
        config.limits.enabled = true;
        config.limits.write = "5/day".parse().unwrap();
        config.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let ada = app.user("ada").await;
    let change = async |token: &str, address: &str| {
        let client = ada.with_token(token);
        let request = client.request(reqwest::Method::PATCH, "/auth/me").header("x-forwarded-for", address);
        Answer::of(request.json(&json!({"display_name": "A"}))).await
    };
    for i in 0..5 {
        change(&format!("gtm_{i}"), "192.0.2.1").await.refused(401, "invalid_token");
    }
    change("gtm_5", "192.0.2.1").await.refused(429, "rate_limited");
    change(ada.token.as_deref().unwrap(), "192.0.2.1").await.expect(200);
}
