-- Who did what, when and why; kept when the user or the plugin is gone.
create table audit_log (
    id     bigint generated always as identity primary key,
    at     timestamptz not null default now(),
    actor  text not null,
    action text not null,
    target text not null,
    reason text
);
create index audit_log_target_idx on audit_log (target, id desc);
