-- Download counts by version and UTC day; the totals in plugins and plugin_versions are their sums.
create table download_days (
    version_id bigint not null constraint download_days_version_fkey references plugin_versions on delete cascade,
    day        date not null,
    downloads  bigint not null,
    primary key (version_id, day)
);
create index download_days_day_idx on download_days (day);

-- Journal segments whose counts are in the tables already: a segment is applied exactly once.
create table counted_segments (
    id         uuid primary key,
    counted_at timestamptz not null default now()
);
create index counted_segments_age_idx on counted_segments (counted_at);
