//! SQL of searching.

use sqlx::{PgPool, query_scalar};

use crate::error::Result;

/// Keys of the plugins in which every word occurs, exact ids and names first, then by downloads.
pub(super) async fn matching(db: &PgPool, words: &str) -> Result<Vec<i64>> {
    let lower = words.to_lowercase();
    let parts: Vec<String> = lower.split_whitespace().take(32).map(str::to_owned).collect();
    Ok(query_scalar!(
        "select key from plugins p,
             lateral (select lower(concat_ws(' ', id, name, description, author,
                 (select string_agg(tag, ' ') from plugin_tags where plugin_id = p.id))) as body) t
         where status <> 'banned' and current_version is not null
           and (select bool_and(strpos(t.body, word) > 0) from unnest($1::text[]) as word)
         order by (id = $2 or lower(name) = $2) desc, strpos(lower(id || ' ' || name), $2) > 0 desc, downloads desc, id",
        &parts,
        lower
    )
    .fetch_all(db)
    .await?)
}

/// Names, ids and tags that begin with `prefix`, most downloaded first.
pub(super) async fn completions(db: &PgPool, prefix: &str, limit: i64) -> Result<Vec<String>> {
    Ok(query_scalar!(
        r#"select text as "text!" from (
               select name as text, downloads from plugins where status = 'active' and current_version is not null
               union all select id, downloads from plugins where status = 'active' and current_version is not null
               union all select tag, downloads from plugin_tags t join plugins p on p.id = t.plugin_id
                   where status = 'active' and current_version is not null) found
           where starts_with(lower(text), lower($1)) group by text order by max(downloads) desc, text limit $2"#,
        prefix,
        limit
    )
    .fetch_all(db)
    .await?)
}
