//! Lists, the change feed and the cache: every page right, everywhere, whatever is lost.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    app::{Answer, Client, TestApp},
    package_builder::PackageBuilder,
};

fn ids(list: &Value) -> Vec<String> {
    list["plugins"].as_array().unwrap().iter().map(|p| p["id"].as_str().unwrap().to_owned()).collect()
}

/// Plugins put straight into the tables, with numbers that tie and names in both languages.
async fn fill(db: &PgPool, count: i32) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "insert into plugins (id, name, description, author, current_version, downloads, rating_sum, rating_count, created_at, updated_at)
         select 'plugin-' || lpad(n::text, 5, '0'), case when n % 3 = 0 then '插件' || n else 'Plugin ' || n end, 'd' || n,
             'author' || n % 7, '1.0.0', n % 10, n % 4 + 1, 1, now() - n % 5 * interval '1 day', now() - n % 6 * interval '1 hour'
         from generate_series(1, {count}) n;
         insert into plugin_versions (plugin_id, version, file_path, file_size, file_hash, manifest, is_stable)
         select id, '1.0.0', '', 1, repeat('0', 64), '{{}}', true from plugins;
         insert into plugin_tags (plugin_id, position, tag) select id, 1, 'tag' || key % 4 from plugins;
         insert into plugin_tags (plugin_id, position, tag) select id, 2, 'even' from plugins where key % 2 = 0;
         analyze"
    )))
    .execute(db)
    .await
    .unwrap();
}

async fn all_pages(anyone: &Client, query: &str) -> Vec<Value> {
    let mut found = Vec::new();
    for page in 1.. {
        let list = anyone.get(&format!("/plugins?{query}&limit=7&page={page}")).await.expect(200).data();
        let plugins = list["plugins"].as_array().unwrap().clone();
        if plugins.is_empty() {
            assert_eq!(list["pagination"]["total"], found.len(), "{query}");
            return found;
        }
        found.extend(plugins);
    }
    unreachable!()
}

#[sqlx::test]
async fn pages_cover_a_list_once_and_in_order(db: PgPool) {
    fill(&db, 50).await;
    let app = TestApp::new(db).await;
    for (sort, ascending) in [
        ("downloads", false),
        ("rating", true),
        ("updated_at", false),
        ("created_at", true),
        ("name", true),
        ("name", false),
    ] {
        let order = if ascending { "asc" } else { "desc" };
        let found = all_pages(&app.anyone(), &format!("sort={sort}&order={order}")).await;
        let distinct: BTreeSet<String> = found.iter().map(|p| p["id"].to_string()).collect();
        assert_eq!((found.len(), distinct.len()), (50, 50), "{sort}");
        let is_sorted = found.is_sorted_by(|a, b| {
            let (a, b) = if ascending { (&a[sort], &b[sort]) } else { (&b[sort], &a[sort]) };
            match (a.as_f64(), b.as_f64()) {
                (Some(a), Some(b)) => a <= b,
                _ => a.as_str().unwrap().to_lowercase() <= b.as_str().unwrap().to_lowercase(),
            }
        });
        assert!(is_sorted, "{sort} {order}");
    }
}

#[sqlx::test]
async fn filters_show_what_fits_and_count_it(db: PgPool) {
    fill(&db, 60).await;
    let app = TestApp::new(db).await;
    for (query, total) in [
        ("tag=even", 30),
        ("tag=tag1&tag=tag3", 30),
        ("tag=tag1&tag=even&tags_match=all", 0),
        ("tag=tag2&tag=even&tags_match=all", 15),
        ("tag=TAG2&author=author1", 2),
        ("author=AUTHOR3", 9),
        ("author=nobody", 0),
        ("tag=nothing", 0),
    ] {
        assert_eq!(all_pages(&app.anyone(), query).await.len(), total, "{query}");
    }
    let body = json!({"filters": {"min_rating": 3.0, "tags": ["even"]}, "sort": {"field": "rating", "order": "asc"}});
    let list = app.anyone().post("/search", body).await.expect(200).data();
    let ratings: Vec<f64> = list["plugins"].as_array().unwrap().iter().map(|p| p["rating"].as_f64().unwrap()).collect();
    assert!(!ratings.is_empty() && ratings.is_sorted() && ratings[0] >= 3.0, "{ratings:?}");
}

#[sqlx::test]
async fn what_one_instance_writes_the_others_show_soon(db: PgPool) {
    let (here, there) = (TestApp::new(db.clone()).await, TestApp::new(db).await);
    let ada = here.user("ada").await;
    let shows = async |path: &str, wanted: &dyn Fn(&Value) -> bool| {
        for _ in 0..500 {
            if wanted(&there.anyone().get(path).await.json()["data"]) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{path} does not show it");
    };
    ada.publish(&PackageBuilder::new("hello", "1.0.0")).await.expect(201);
    shows("/plugins?search=hello", &|list| ids(list) == ["hello"]).await;
    shows("/plugins/hello", &|plugin| plugin["current_version"] == "1.0.0").await;
    here.user("bob").await.post("/plugins/hello/ratings", json!({"rating": 4})).await.expect(200);
    shows("/plugins/hello", &|plugin| plugin["rating"] == 4.0).await;
    ada.patch("/auth/me", json!({"display_name": "艾达"})).await.expect(200);
    shows("/plugins/hello", &|plugin| plugin["owners"][0]["display_name"] == "艾达").await;
    ada.patch("/plugins/hello", json!({"status": "deprecated"})).await.expect(200);
    shows("/plugins", &|list| ids(list).is_empty()).await;
    shows("/plugins?search=hello&status=any", &|list| ids(list) == ["hello"]).await;
}

#[sqlx::test]
async fn an_own_write_shows_in_the_next_read(db: PgPool) {
    let app = TestApp::new(db).await;
    let (ada, bob, anyone) = (app.user("ada").await, app.user("bob").await, app.anyone());
    for n in 0..20 {
        let id = format!("plugin-{n}");
        ada.publish(&PackageBuilder::new(&id, "1.0.0").set("name", format!("第{n}号"))).await.expect(201);
        assert_eq!(anyone.get("/plugins").await.data()["pagination"]["total"], n + 1);
        assert_eq!(ids(&anyone.get(&format!("/plugins?search={id}")).await.data())[0], id);
        assert_eq!(
            anyone.get(&format!("/search/suggestions?q=第{n}号")).await.data()["suggestions"][0],
            format!("第{n}号")
        );
        bob.post(&format!("/plugins/{id}/ratings"), json!({"rating": n % 5 + 1})).await.expect(200);
        assert_eq!(anyone.get(&format!("/plugins/{id}")).await.data()["rating"], f64::from(n % 5 + 1));
        assert_eq!(anyone.get(&format!("/plugins/{id}/ratings")).await.data()["average"], f64::from(n % 5 + 1));
    }
}

#[sqlx::test]
async fn a_known_answer_is_304_and_compressed_forms_agree(db: PgPool) {
    fill(&db, 30).await;
    let app = TestApp::new(db).await;
    let of_one = ["", "/stats", "/ratings", "/owners"].map(|part| format!("/plugins/plugin-00001{part}"));
    let of_all = ["/plugins", "/tags", "/stats", "/search/suggestions?q=pl"].map(str::to_owned);
    for path in of_one.iter().chain(&of_all) {
        let first = app.anyone().get(path).await.expect(200);
        let request = app.anyone().request(reqwest::Method::GET, path).header("if-none-match", first.header("etag"));
        let again = Answer::of(request).await;
        assert_eq!((again.status(), again.bytes.len()), (304, 0), "{path}");
        assert!(first.header("cache-control").contains("public"), "{path}");
        // What refuses even plain bytes gets them all the same; HEAD tells what GET would.
        for accepted in ["identity;q=0", "gzip;q=0, *;q=0.0", "gzip", "br"] {
            let ask = |method| Answer::of(app.anyone().request(method, path).header("accept-encoding", accepted));
            let (get, head) =
                (ask(reqwest::Method::GET).await.expect(200), ask(reqwest::Method::HEAD).await.expect(200));
            for name in ["content-encoding", "content-length", "etag"] {
                assert_eq!(get.header(name), head.header(name), "{path}, {accepted}: {name}");
            }
        }
    }
    for coding in ["gzip", "br", "zstd"] {
        let request = app.anyone().request(reqwest::Method::GET, "/plugins").header("accept-encoding", coding);
        let answer = Answer::of(request).await;
        assert_eq!(answer.header("content-encoding"), coding);
        assert!(answer.bytes.len() < 3_000, "{coding}: {}", answer.bytes.len());
    }
}

#[sqlx::test]
async fn known_answers_and_downloads_go_on_without_the_database(db: PgPool) {
    let app = TestApp::new(db).await;
    let (ada, anyone) = (app.user("ada").await, app.anyone());
    ada.publish(&PackageBuilder::new("hello", "1.0.0")).await.expect(201);
    ada.publish(&PackageBuilder::new("cold", "1.0.0")).await.expect(201);
    let known = ["/plugins", "/plugins/hello", "/plugins?search=hello", "/plugins/hello/download", "/tags"];
    for path in known {
        anyone.get(path).await.expect(200);
    }
    // The download is counted, which changes what lists show; they are asked for once more after that.
    tokio::time::sleep(Duration::from_millis(900)).await;
    for path in known {
        anyone.get(path).await.expect(200);
    }
    app.state.db.close().await;
    for path in known {
        anyone.get(path).await.expect(200);
    }
    anyone.get("/plugins/cold").await.refused(503, "unavailable");
    ada.publish(&PackageBuilder::new("hello", "2.0.0")).await.refused(503, "unavailable");
}

#[sqlx::test]
async fn no_list_query_walks_or_sorts_the_catalogue(db: PgPool) {
    fill(&db, 5_000).await;
    let sources: String = ["catalogue/queries.rs", "plugins/queries/reading.rs"]
        .map(|file| std::fs::read_to_string(format!("{}/src/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap())
        .concat();
    // The statements themselves, as they stand in the source: what follows `r#"` up to `"#`.
    let statement = |function: &str| {
        let body = &sources[sources.find(&format!("fn {function}(")).unwrap()..];
        let sql = body.split_once("r#\"").unwrap().1.split_once("\"#").unwrap().0;
        sql.to_owned()
    };
    for function in ["items", "detail", "texts"] {
        let sql = statement(function);
        let argument = if function == "detail" { "'plugin-00007'" } else { "array['plugin-00007', 'plugin-04000']" };
        let explain = format!("explain (costs off) {}", sql.replace("$1", argument));
        let plan: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(explain)).fetch_all(&db).await.unwrap();
        let plan = plan.join("\n");
        for walk in ["Seq Scan on plugins", "Seq Scan on plugin_versions", "Seq Scan on plugin_tags"] {
            assert!(!plan.contains(walk), "{function}:\n{plan}");
        }
    }
}
