//! Where parts declare their routes, each with its policy.

use std::sync::Arc;

use axum::{
    Router,
    handler::Handler,
    routing::{self, MethodRouter},
};
use utoipa::openapi::{OpenApi, PathItem};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::{
    Policy,
    enforce::{Enforcer, PolicyLayer},
};
use crate::http::middleware::BASES;

/// Routes, each with the policy that holds for it. `S` is what their handlers still lack.
pub struct Routes<S = ()> {
    routes: Vec<Route<S>>,
    document: OpenApiRouter<S>,
}

struct Route<S> {
    path: String,
    /// Below each base of the API, or at the root.
    is_api: bool,
    policy: Policy,
    handler: MethodRouter<S>,
}

impl<S: Clone + Send + Sync + 'static> Default for Routes<S> {
    fn default() -> Self {
        Self { routes: Vec::new(), document: OpenApiRouter::new() }
    }
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// No routes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one operation of the API: what `routes!` makes of one handler.
    ///
    /// # Panics
    /// When it is more than one: each has a policy of its own.
    pub fn api(mut self, policy: Policy, (schemas, paths, handler): UtoipaMethodRouter<S>) -> Self {
        let path = paths.paths.keys().next().cloned().unwrap_or_default();
        let operations: usize = paths.paths.values().map(count_operations).sum();
        assert_eq!(operations, 1, "{path}: one operation, one policy");
        // For the document only: the router is built by `into_router`.
        self.document = self.document.routes((schemas, paths, MethodRouter::new()));
        self.routes.push(Route { path, is_api: true, policy, handler });
        self
    }

    /// Adds one operation at the root, as a document of the customer names it: what `routes!` makes of one handler.
    pub fn at_root(mut self, policy: Policy, (schemas, paths, handler): UtoipaMethodRouter<S>) -> Self {
        let path = paths.paths.keys().next().cloned().unwrap_or_default();
        self.document = self.document.routes((schemas, paths, MethodRouter::new()));
        self.routes.push(Route { path, is_api: false, policy, handler });
        self
    }

    /// Adds a page or another address at the root that is read.
    pub fn get<T: 'static>(self, path: &str, policy: Policy, handler: impl Handler<T, S>) -> Self {
        self.page(path, policy, routing::get(handler))
    }

    /// Adds an address at the root that forms are sent to.
    pub fn post<T: 'static>(self, path: &str, policy: Policy, handler: impl Handler<T, S>) -> Self {
        self.page(path, policy, routing::post(handler))
    }

    fn page(mut self, path: &str, policy: Policy, handler: MethodRouter<S>) -> Self {
        self.routes.push(Route { path: path.to_owned(), is_api: false, policy, handler });
        self
    }

    /// Adds the routes of a part.
    pub fn merge(mut self, part: Self) -> Self {
        self.routes.extend(part.routes);
        self.document = self.document.merge(part.document);
        self
    }

    /// Gives the handlers their state.
    pub fn with_state(self, state: S) -> Routes {
        let with_state = |Route { path, is_api, policy, handler }: Route<S>| Route {
            path,
            is_api,
            policy,
            handler: handler.with_state(state.clone()),
        };
        Routes {
            routes: self.routes.into_iter().map(with_state).collect(),
            document: self.document.with_state(state.clone()),
        }
    }
}

impl Routes {
    /// The OpenAPI document of all operations so far.
    pub fn document(&self) -> OpenApi {
        self.document.get_openapi().clone()
    }

    /// Builds the router. Requests for anything else draw on the policies of `not_found` and `method_not_allowed`.
    pub fn into_router<T: 'static, U: 'static>(
        self,
        enforcer: &Arc<Enforcer>,
        not_found: (Policy, impl Handler<T, ()>),
        method_not_allowed: (Policy, impl Handler<U, ()>),
    ) -> Router {
        let mut router = Router::new();
        for Route { path, is_api, policy, handler } in self.routes {
            let handler = handler.route_layer(PolicyLayer::new(policy, enforcer));
            if is_api {
                // Not nested: that would put another layer around each route.
                for base in BASES {
                    router = router.route(&format!("{base}{path}"), handler.clone());
                }
            } else {
                router = router.route(&path, handler);
            }
        }
        let (policy, handler) = not_found;
        router = router.fallback(handler.layer(PolicyLayer::new(policy, enforcer)));
        let (policy, handler) = method_not_allowed;
        router.method_not_allowed_fallback(handler.layer(PolicyLayer::new(policy, enforcer)))
    }
}

fn count_operations(item: &PathItem) -> usize {
    let PathItem { get, put, post, delete, options, head, patch, trace, query, additional_operations, .. } = item;
    let named = [get, put, post, delete, options, head, patch, trace, query];
    named.into_iter().flatten().count() + additional_operations.len()
}
