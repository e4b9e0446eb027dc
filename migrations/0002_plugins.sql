-- The catalogue. A plugin row carries the fields of its current version, so that lists read one table.
create table plugins (
    id                    text primary key,
    key                   bigint generated always as identity,
    name                  text not null,
    description           text not null,
    author                text not null,
    -- Null while every version is yanked: the plugin is then in no list.
    current_version       text,
    status                text not null default 'active',
    status_message        text,
    replacement_id        text constraint plugins_replacement_fkey references plugins on delete set null,
    downloads             bigint not null default 0,
    rating_sum            bigint not null default 0,
    rating_count          bigint not null default 0,
    rating                numeric(3, 2) not null generated always as
                          (case when rating_count = 0 then 0 else round(rating_sum::numeric / rating_count, 2) end) stored,
    min_geektools_version text,
    homepage_url          text,
    repository_url        text,
    license               text,
    created_at            timestamptz not null default now(),
    updated_at            timestamptz not null default now(),
    constraint plugins_key_key unique (key),
    constraint plugins_id_form check (id ~ '^[a-z0-9_-]{3,50}$'),
    constraint plugins_status_known check (status in ('active', 'deprecated', 'banned')),
    constraint plugins_downloads_sign check (downloads >= 0),
    constraint plugins_rating_sum_range check (rating_sum between rating_count and 5 * rating_count)
);
create index plugins_status_downloads_idx on plugins (status, downloads desc, id);
create index plugins_created_idx on plugins (created_at);

-- Ids of deleted plugins stay taken: nobody may publish something else under a name people trusted.
create table retired_ids (
    id         text primary key,
    retired_at timestamptz not null default now()
);

create table plugin_versions (
    id          bigint generated always as identity primary key,
    plugin_id   text not null constraint plugin_versions_plugin_fkey references plugins on delete cascade,
    version     text not null,
    changelog   text,
    file_path   text not null,
    file_size   bigint not null,
    file_hash   text not null,
    -- The checked info.json, from which the catalogue fields come when this version becomes current.
    manifest    jsonb not null,
    is_stable   boolean not null,
    downloads   bigint not null default 0,
    yanked_at   timestamptz,
    yank_reason text,
    uploaded_by bigint constraint plugin_versions_user_fkey references users on delete set null,
    created_at  timestamptz not null default now(),
    constraint plugin_versions_version_key unique (plugin_id, version),
    constraint plugin_versions_hash_form check (file_hash ~ '^[0-9a-f]{64}$'),
    constraint plugin_versions_downloads_sign check (downloads >= 0)
);
create index plugin_versions_uploader_idx on plugin_versions (uploaded_by);

create table plugin_scripts (
    version_id    bigint not null constraint plugin_scripts_version_fkey references plugin_versions on delete cascade,
    position      int not null,
    script_name   text not null,
    script_file   text not null,
    description   text not null,
    is_executable boolean not null default false,
    primary key (version_id, position)
);

create table plugin_dependencies (
    version_id    bigint not null constraint plugin_dependencies_version_fkey references plugin_versions on delete cascade,
    position      int not null,
    dependency_id text not null constraint plugin_dependencies_dependency_fkey references plugins on delete restrict,
    min_version   text,
    primary key (version_id, dependency_id)
);
create index plugin_dependencies_dependency_idx on plugin_dependencies (dependency_id);

create table plugin_tags (
    plugin_id text not null constraint plugin_tags_plugin_fkey references plugins on delete cascade,
    position  int not null,
    tag       text not null,
    primary key (plugin_id, tag)
);
create index plugin_tags_tag_idx on plugin_tags (tag, plugin_id);

create table plugin_owners (
    plugin_id text not null constraint plugin_owners_plugin_fkey references plugins on delete cascade,
    user_id   bigint not null constraint plugin_owners_user_fkey references users on delete cascade,
    added_at  timestamptz not null default now(),
    primary key (plugin_id, user_id)
);
create index plugin_owners_user_idx on plugin_owners (user_id);

create table plugin_ratings (
    id         bigint generated always as identity primary key,
    plugin_id  text not null constraint plugin_ratings_plugin_fkey references plugins on delete cascade,
    user_id    bigint not null constraint plugin_ratings_user_fkey references users on delete cascade,
    rating     smallint not null,
    review     text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint plugin_ratings_once unique (plugin_id, user_id),
    constraint plugin_ratings_range check (rating between 1 and 5)
);
create index plugin_ratings_newest_idx on plugin_ratings (plugin_id, updated_at desc, id desc);
create index plugin_ratings_user_idx on plugin_ratings (user_id);
