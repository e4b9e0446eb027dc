-- What somebody recognises a sign-in by, and the kinds of clients that downloads came from.
set local lock_timeout = '5s';

alter table sessions
    -- Such as Firefox and Windows; absent when the client did not say.
    add column browser      text,
    add column system       text,
    add column address      text,
    add column last_used_at timestamptz;

-- Downloads by plugin, UTC day and kind of client; those of before this table are in download_days only.
create table download_sources (
    plugin_id text not null constraint download_sources_plugin_fkey references plugins on delete cascade,
    day       date not null,
    source    text not null,
    downloads bigint not null,
    constraint download_sources_pkey primary key (plugin_id, day, source),
    constraint download_sources_source_known check (source in ('browser', 'command_line', 'program'))
);
