-- Services: programs that register themselves and are called through the gateway. Every server reads them into memory and
-- follows changes by the topic `services`, whose keys are ids of services.
set local lock_timeout = '5s';

create table services (
    id            uuid constraint services_pkey primary key,
    name          text not null constraint services_name_key unique
                  constraint services_name_form check (name ~ '^[a-z0-9][a-z0-9_-]{0,99}$'),
    display_name  text not null,
    description   text not null,
    -- That of the last registration, as all texts are.
    version       text not null,
    metadata      jsonb not null,
    tags          text[] not null,
    requires_auth boolean not null,
    -- Who registered it first: a subject such as `token:17`.
    owner         text not null,
    -- False when an administrator switched it off.
    is_active     boolean not null default true,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now()
);

create table service_instances (
    id               uuid constraint service_instances_pkey primary key,
    service_id       uuid not null constraint service_instances_service_fkey references services on delete cascade,
    version          text not null,
    host             text not null,
    port             integer not null constraint service_instances_port_range check (port between 1 and 65535),
    base_path        text not null,
    health_check_url text,
    -- The address that the registration came from; connections may go there only, unless configuration allows more.
    registered_from  text not null,
    registered_by    text not null,
    -- The last registration.
    registered_at    timestamptz not null default now(),
    -- Set when it was deregistered by name: a heartbeat of one that lives after all brings it back.
    deregistered_at  timestamptz,
    constraint service_instances_once unique (service_id, host, port)
);

-- What a version of a service declares, replaced as a whole.
create table service_endpoints (
    service_id uuid not null constraint service_endpoints_service_fkey references services on delete cascade,
    version    text not null,
    endpoints  jsonb not null,
    constraint service_endpoints_pkey primary key (service_id, version)
);

-- The last sign of life of each instance. Written in batches and announced to nobody; lost in a crash of PostgreSQL,
-- after which every lease begins anew.
create unlogged table instance_beats (
    instance_id uuid constraint instance_beats_pkey primary key
                constraint instance_beats_instance_fkey references service_instances on delete cascade,
    last_seen   timestamptz not null,
    reported    text not null,
    -- The process that wrote it.
    server      uuid not null,
    written_at  timestamptz not null default now()
);
create index instance_beats_written_idx on instance_beats (written_at);

create function announce_service() returns trigger language plpgsql as $$
begin
    if tg_table_name = 'services' then
        perform pg_notify('services', coalesce(new.id, old.id)::text);
    else
        perform pg_notify('services', coalesce(new.service_id, old.service_id)::text);
    end if;
    return null;
end $$;
create trigger services_announce after insert or update or delete on services
    for each row execute function announce_service();
create trigger service_instances_announce after insert or update or delete on service_instances
    for each row execute function announce_service();
create trigger service_endpoints_announce after insert or update or delete on service_endpoints
    for each row execute function announce_service();
