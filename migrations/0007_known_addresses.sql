-- The networks that an account signed in from. Wrong passwords sent from elsewhere do not keep its owner out there.
set local lock_timeout = '5s';

create table known_addresses (
    user_id      bigint not null constraint known_addresses_user_fkey references users on delete cascade,
    -- A keyed hash, so that the table alone does not tell the address.
    address_hash text not null,
    last_used_at timestamptz not null default now(),
    constraint known_addresses_pkey primary key (user_id, address_hash)
);
create index known_addresses_last_used_idx on known_addresses (last_used_at);
