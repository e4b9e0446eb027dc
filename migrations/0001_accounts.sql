-- Accounts: who may sign in, their sessions and their tokens for scripts.
create table users (
    id            bigint generated always as identity primary key,
    username      text not null,
    email         text not null,
    password_hash text not null,
    display_name  text not null default '',
    role          text not null default 'user',
    is_active     boolean not null default true,
    is_verified   boolean not null default false,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    constraint users_role_known check (role in ('user', 'admin')),
    constraint users_username_length check (char_length(username) between 3 and 50)
);
create unique index users_username_key on users (lower(username));
create unique index users_email_key on users (lower(email));

-- One row is one sign-in: a family of refresh tokens of which only `refresh_id` is alive.
create table sessions (
    id         uuid primary key,
    user_id    bigint not null constraint sessions_user_fkey references users on delete cascade,
    refresh_id uuid not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    ended_at   timestamptz
);
create index sessions_user_idx on sessions (user_id);
create index sessions_expires_idx on sessions (expires_at);

create table api_tokens (
    id             bigint generated always as identity primary key,
    user_id        bigint not null constraint api_tokens_user_fkey references users on delete cascade,
    name           text not null,
    token_hash     bytea not null,
    scopes         text[] not null,
    plugin_pattern text,
    created_at     timestamptz not null default now(),
    expires_at     timestamptz not null,
    last_used_at   timestamptz,
    constraint api_tokens_hash_key unique (token_hash)
);
create index api_tokens_user_idx on api_tokens (user_id);
