-- Who published what and what others say of it: invitations to own a plugin, votes on reviews and replies to them,
-- reports to administrators, and ids that resemble one another.
set local lock_timeout = '5s';

-- An invitation is given by an owner and ends when that person is no owner any more.
create table owner_invitations (
    id         bigint generated always as identity primary key,
    plugin_id  text not null constraint owner_invitations_plugin_fkey references plugins on delete cascade,
    user_id    bigint not null constraint owner_invitations_user_fkey references users on delete cascade,
    invited_by bigint not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null default now() + interval '30 days',
    constraint owner_invitations_once unique (plugin_id, user_id),
    constraint owner_invitations_inviter_fkey foreign key (plugin_id, invited_by) references plugin_owners on delete cascade
);
create index owner_invitations_user_idx on owner_invitations (user_id);
create index owner_invitations_inviter_idx on owner_invitations (plugin_id, invited_by);
create index owner_invitations_expires_idx on owner_invitations (expires_at);

-- The version that was current when the review was written.
alter table plugin_ratings add column version text;

create table rating_votes (
    rating_id bigint not null constraint rating_votes_rating_fkey references plugin_ratings on delete cascade,
    user_id   bigint not null constraint rating_votes_user_fkey references users on delete cascade,
    constraint rating_votes_pkey primary key (rating_id, user_id)
);
create index rating_votes_user_idx on rating_votes (user_id);

create table rating_replies (
    rating_id  bigint constraint rating_replies_pkey primary key
               constraint rating_replies_rating_fkey references plugin_ratings on delete cascade,
    user_id    bigint not null constraint rating_replies_user_fkey references users on delete cascade,
    text       text not null,
    created_at timestamptz not null default now()
);
create index rating_replies_user_idx on rating_replies (user_id);

-- Votes and replies are shown with the plugin.
create function revise_rated() returns trigger language plpgsql as $$
begin
    update plugins set revision = 0
    where id = (select plugin_id from plugin_ratings where id = coalesce(new.rating_id, old.rating_id));
    return null;
end $$;
create trigger rating_votes_revise after insert or delete on rating_votes for each row execute function revise_rated();
create trigger rating_replies_revise after insert or update or delete on rating_replies
    for each row execute function revise_rated();

-- Locks plugins in the order of their ids, as everything does that changes several.
create or replace function revise_renamed() returns trigger language plpgsql as $$
declare
    ids text[];
begin
    select array_agg(id) into ids from (
        select id from plugins where id in (
            select plugin_id from plugin_owners where user_id = new.id
            union select plugin_id from plugin_ratings where user_id = new.id
            union select r.plugin_id from rating_replies a join plugin_ratings r on r.id = a.rating_id where a.user_id = new.id)
        order by id for no key update) locked;
    update plugins set revision = 0 where id = any(ids);
    return null;
end $$;
create trigger users_revise_verified after update of is_verified on users for each row
    when (old.is_verified is distinct from new.is_verified) execute function revise_renamed();

-- Kept when the plugin or review is gone: why it went is read here.
create table reports (
    id         bigint generated always as identity primary key,
    plugin_id  text not null,
    -- Absent when the plugin itself is reported.
    rating_id  bigint,
    user_id    bigint not null constraint reports_user_fkey references users on delete cascade,
    reason     text not null,
    text       text,
    created_at timestamptz not null default now(),
    closed_at  timestamptz,
    closed_by  text,
    resolution text,
    constraint reports_reason_known check (reason in ('malware', 'spam', 'impersonation', 'abuse', 'other'))
);
create unique index reports_once on reports (user_id, plugin_id, coalesce(rating_id, 0));
create index reports_open_idx on reports (id) where closed_at is null;

-- An id without separators, in which characters that look alike are the same.
create function folded_id(id text) returns text language sql immutable strict parallel safe as $$
    select replace(replace(translate(id, '015i-_', 'olsl'), 'rn', 'm'), 'vv', 'w')
$$;
create index plugins_folded_id_idx on plugins (folded_id(id));

-- New ids that may resemble others, by decision of an administrator.
create table reserved_names (
    id         text constraint reserved_names_pkey primary key,
    -- Who may publish it; absent = anybody.
    user_id    bigint constraint reserved_names_user_fkey references users on delete cascade,
    created_at timestamptz not null default now()
);
create index reserved_names_user_idx on reserved_names (user_id);
