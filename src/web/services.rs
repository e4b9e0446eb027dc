//! What administrators see of services, and do with them.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};

use super::{
    Web,
    charts::{self, DayChart},
    confirm,
    form::{Form, done},
    page_context::PageContext,
    visitor::AdminPage,
};
use crate::{
    error::{Error, OrRefuse, Result, codes},
    http::{
        extract::Path,
        policy::{Policy, Routes},
    },
    registry::{self, Instance, Minute, Service},
};

const LIST: &str = "/admin/services";

/// The pages of services.
pub(super) fn pages() -> Routes<Arc<Web>> {
    Routes::new().get(LIST, Policy::read(), list).post(LIST, Policy::write(), change).get(
        "/admin/services/{name}",
        Policy::read(),
        one,
    )
}

/// The word for a status, as instances and services have it.
fn word<'a>(page: &'a PageContext, status: &'a str) -> &'a str {
    match status {
        "healthy" => page.t("正常", "healthy"),
        "starting" => page.t("启动中", "starting"),
        "suspect" => page.t("心跳延迟", "heartbeats late"),
        "unhealthy" => page.t("异常", "unhealthy"),
        "draining" => page.t("正在退出", "draining"),
        "expired" => page.t("租约到期", "lease ran out"),
        "disabled" => page.t("已停用", "disabled"),
        other => other,
    }
}

fn is_well(status: &str) -> bool {
    matches!(status, "healthy" | "starting")
}

#[derive(Template)]
#[template(path = "admin_services.html")]
struct List {
    page: PageContext,
    services: Vec<Arc<Service>>,
    is_preserving: bool,
}

impl List {
    fn word<'a>(&'a self, status: &'a str) -> &'a str {
        word(&self.page, status)
    }

    fn is_well(&self, status: &str) -> bool {
        is_well(status)
    }
}

/// Lists all services by name.
pub(super) async fn list(State(web): State<Arc<Web>>, AdminPage { look, .. }: AdminPage) -> Result<Response> {
    let mut services: Vec<_> = web.registry.snapshot().services().cloned().collect();
    services.sort_by(|a, b| a.name.cmp(&b.name));
    let page = List { page: look, services, is_preserving: web.registry.is_preserving() };
    page.page.show(&page)
}

#[derive(Template)]
#[template(path = "admin_service.html")]
struct One {
    page: PageContext,
    service: Arc<Service>,
    minutes: Vec<(String, Minute)>,
    chart: DayChart,
    errors: u32,
}

impl One {
    fn word<'a>(&'a self, status: &'a str) -> &'a str {
        word(&self.page, status)
    }

    fn is_well(&self, status: &str) -> bool {
        is_well(status)
    }

    fn ago(&self, instance: &Instance) -> String {
        self.page.ago(&instance.last_seen())
    }
}

/// Shows a service: its instances, and what it was asked in the last hour.
pub(super) async fn one(
    State(web): State<Arc<Web>>,
    AdminPage { look, .. }: AdminPage,
    Path(name): Path<String>,
) -> Result<Response> {
    let service = web.registry.snapshot().find(&name).cloned().or_refuse(&codes::SERVICE_NOT_FOUND)?;
    let hour = service.traffic.last_hour();
    let ago = |i: usize| match hour.len() - 1 - i {
        0 => look.t("现在", "now").to_owned(),
        minutes => format!("−{minutes} {}", look.t("分钟", "min")),
    };
    let minutes: Vec<_> = hour.iter().enumerate().map(|(i, minute)| (ago(i), *minute)).collect();
    let chart = charts::over_time(minutes.iter().map(|(label, minute)| (label.clone(), minute.requests.into())));
    let errors = hour.iter().map(|minute| minute.errors).sum();
    let page = One { page: look, service, minutes, chart, errors };
    page.page.show(&page)
}

/// Switches a service off or on, or removes it.
pub(super) async fn change(
    State(web): State<Arc<Web>>,
    AdminPage { look, admin }: AdminPage,
    form: Form,
) -> Result<Response> {
    let name = form.get("name");
    let page = format!("{LIST}/{name}");
    let service = web.registry.snapshot().find(name).cloned().or_refuse(&codes::SERVICE_NOT_FOUND)?;
    match form.get("what") {
        "remove" if !form.is_confirmed() => {
            let question = look.lang.pick(
                format!("移除服务 {name} 及其全部实例？仍在运行的程序可以重新注册。"),
                format!(
                    "Remove the service {name} with all its instances? Programs that still run may register again."
                ),
            );
            confirm::ask(look, &form, &question, &page)
        }
        "remove" => {
            registry::remove_service(&web.registry, &service, &admin.username).await?;
            Ok(done(LIST, "deleted"))
        }
        what @ ("enable" | "disable") => {
            registry::set_active(&web.registry, name, what == "enable", &admin.username).await?;
            Ok(done(&page, "saved"))
        }
        _ => Err(Error::new(&codes::INVALID_INPUT)),
    }
}
