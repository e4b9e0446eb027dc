//! Clients with verbs, and the answers they get.

use reqwest::{Method, RequestBuilder, StatusCode, header::HeaderMap, multipart};
use serde_json::{Value, json};

use crate::package_builder::PackageBuilder;

/// Somebody who sends requests, signed in or not.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    pub(crate) token: Option<String>,
}

impl Client {
    /// Somebody without an account, at the server with this address.
    pub(crate) fn new(http: reqwest::Client, base: String) -> Self {
        Self { http, base, token: None }
    }

    /// Somebody without an account who talks to any server, behind any certificate.
    pub(crate) fn at(base: &str) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        Self::new(builder.tls_danger_accept_invalid_certs(true).build().unwrap(), base.to_owned())
    }

    /// Makes an account. The password is `correct horse`.
    pub(crate) async fn register(&self, username: &str) -> Answer {
        let email = format!("{username}@example.org");
        self.post("/auth/register", json!({"username": username, "email": email, "password": "correct horse"})).await
    }

    /// The same client, signed in as somebody registered by [`Self::register`].
    pub(crate) async fn sign_in(&self, username: &str) -> Self {
        self.sign_in_with(username, "correct horse").await
    }

    /// The same client, signed in.
    pub(crate) async fn sign_in_with(&self, username: &str, password: &str) -> Self {
        let login = json!({"username": username, "password": password});
        let signed_in = self.post("/auth/login", login).await.expect(200);
        self.with_token(signed_in.data()["access_token"].as_str().unwrap())
    }

    /// The same client with another token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// A request to be completed; a path below the API's base, or from the root with `//`.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let path =
            path.strip_prefix('/').filter(|p| p.starts_with('/')).map_or(format!("/api/v1{path}"), str::to_owned);
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(&body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request(Method::PUT, path).json(&body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request(Method::PATCH, path).json(&body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::DELETE, path)).await
    }

    /// Makes somebody else an owner of one's plugin: invites them, and they accept.
    pub(crate) async fn share(&self, plugin: &str, username: &str, other: &Self) {
        self.put(&format!("/plugins/{plugin}/owners/{username}"), json!({})).await.expect(202);
        let invitations = other.get("/auth/me/invitations").await.expect(200).data()["invitations"].clone();
        let invitation = invitations.as_array().unwrap().iter().find(|i| i["plugin_id"] == plugin).unwrap();
        other.post(&format!("/auth/me/invitations/{}/accept", invitation["id"]), json!({})).await.expect(200);
    }

    /// Uploads a package.
    pub(crate) async fn publish(&self, package: &PackageBuilder) -> Answer {
        self.upload("package.tar.gz", package.build()).await
    }

    /// Uploads any bytes under a file name.
    pub(crate) async fn upload(&self, name: &str, bytes: Vec<u8>) -> Answer {
        Answer::of(self.upload_request(name, bytes)).await
    }

    /// An upload to be sent.
    pub(crate) fn upload_request(&self, name: &str, bytes: impl Into<reqwest::Body>) -> RequestBuilder {
        let file = multipart::Part::stream(bytes).file_name(name.to_owned());
        let form = multipart::Form::new().part("plugin_file", file);
        self.request(Method::POST, "/plugins").multipart(form)
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        Self::try_of(request).await.unwrap()
    }

    /// The same where the server may die before it has answered whole.
    pub(crate) async fn try_of(request: RequestBuilder) -> reqwest::Result<Self> {
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Self { status, headers, bytes: response.bytes().await?.to_vec() })
    }

    pub(crate) fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// The whole body.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The `data` of a success.
    pub(crate) fn data(&self) -> Value {
        self.json()["data"].clone()
    }

    /// The `code` of a failure.
    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The fields named in `details`.
    pub(crate) fn faulty_fields(&self) -> Vec<String> {
        let json = self.json();
        let details = json["details"].as_array().cloned().unwrap_or_default();
        details.iter().map(|detail| detail["field"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Itself, when it has this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status(), status, "{}", self.text());
        self
    }

    /// Asserts a failure in the envelope with this status and code.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status(), self.code().as_str()), (status, code), "{}", self.text());
        assert_eq!(self.json()["success"], false);
        self
    }
}
