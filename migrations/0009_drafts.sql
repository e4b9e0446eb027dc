-- Packages that were uploaded on the website and wait to be published: whose they are, and where their bytes are in the
-- store. One of each user.
set local lock_timeout = '5s';

create table drafts (
    user_id    bigint constraint drafts_pkey primary key constraint drafts_user_fkey references users on delete cascade,
    file_path  text not null,
    file_size  bigint not null,
    file_hash  text not null,
    created_at timestamptz not null default now()
);
create index drafts_created_idx on drafts (created_at);
