-- When a periodic job last ran, so that of several instances only one runs it each time.
create table job_runs (
    name   text primary key,
    ran_at timestamptz not null default now()
);
