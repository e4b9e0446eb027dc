-- Packages that wait to be published, and what is inside those that are large.
set local lock_timeout = '5s';

-- What was uploaded on the website and waits to be published: whose it is, and where its bytes are in the store. One of each
-- user.
create table drafts (
    user_id    bigint constraint drafts_pkey primary key constraint drafts_user_fkey references users on delete cascade,
    file_path  text not null,
    file_size  bigint not null,
    file_hash  text not null,
    created_at timestamptz not null default now()
);
create index drafts_created_idx on drafts (created_at);

-- What is inside large packages, as it was read when they were published; without a row the package is read again.
create table package_contents (
    version_id bigint constraint package_contents_pkey primary key
               constraint package_contents_version_fkey references plugin_versions on delete cascade,
    files      bytea not null,
    texts      bytea[] not null
);
