//! Who is looking at a page: anybody, a member, an administrator.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, Method, header, request::Parts},
    response::{Html, IntoResponse, Response},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use time::OffsetDateTime;

use super::{
    Web, cookies,
    page_context::{PageContext, PageHeaders, Viewer},
    redirect,
};
use crate::{
    accounts::{self, CurrentUser, SessionUser},
    catalogue::PluginId,
    error::{Error, Result, codes, lang::Lang},
    http::{
        cache::{Kind, Version},
        extract::Params,
    },
};

/// What a page says after something was done, by the code in its address.
fn notice(lang: Lang, code: &str) -> Option<&'static str> {
    Some(match code {
        "published" => lang.pick("发布成功，插件已上线。", "Published. The plugin is live."),
        "same" => {
            lang.pick("这个版本先前已经发布，内容完全相同。", "This version was published before, byte for byte.")
        }
        "reviewed" => lang.pick("评价已保存。", "Your review is saved."),
        "unreviewed" => lang.pick("评价已删除。", "Your review is deleted."),
        "registered" => lang.pick("注册成功，欢迎加入。", "Your account is ready. Welcome."),
        "saved" => lang.pick("已保存。", "Saved."),
        "password" => {
            lang.pick("密码已修改，其他会话均已退出。", "Password changed; all other sessions are signed out.")
        }
        "password_not_tokens" => lang.pick(
            "密码已修改，其他会话均已退出。API 令牌仍然有效，可在“API 令牌”页删除。",
            "Password changed; all other sessions are signed out. Your API tokens still work: delete them on their page.",
        ),
        "ended" => lang.pick("会话已结束。", "Session ended."),
        "revoked" => lang.pick("令牌已删除。", "Token deleted."),
        "yanked" => lang.pick("版本已撤回。", "Version yanked."),
        "unyanked" => lang.pick("版本已恢复。", "Version restored."),
        "invited" => lang.pick("邀请已发出，对方接受后成为所有者。", "Invitation sent. They become an owner once they accept."),
        "accepted" => lang.pick("已接受邀请，你现在是所有者。", "Invitation accepted. You are an owner now."),
        "declined" => lang.pick("已拒绝邀请。", "Invitation declined."),
        "reported" => lang.pick("举报已提交，管理员会处理。", "Thank you. The administrators will look at your report."),
        "replied" => lang.pick("回复已保存。", "Your reply is saved."),
        "deleted" => lang.pick("已删除。", "Deleted."),
        _ => return None,
    })
}

/// The minute of now: texts such as "2 minutes ago" are right for so long.
pub(super) fn minute() -> u64 {
    (OffsetDateTime::now_utc().unix_timestamp() / 60).cast_unsigned()
}

/// Anybody, signed in or not.
pub(super) struct Visitor {
    pub look: PageContext,
    pub session: Option<SessionUser>,
}

impl Visitor {
    /// The user, when signed in.
    pub fn user(&self) -> Option<&CurrentUser> {
        self.session.as_ref().map(|session| &session.user)
    }

    /// Shows a page that looks the same to everybody who is not signed in: made once, until the
    /// catalogue changes or times such as "2 minutes ago" are out of date. It depends on no other parameters
    /// of the query than those named.
    pub async fn show_shared<P, F>(
        self,
        web: &Web,
        headers: &HeaderMap,
        parameters: &[&str],
        make: impl FnOnce(Self) -> F + Send,
    ) -> Result<Response>
    where
        P: Template,
        F: Future<Output = Result<P>> + Send,
    {
        let version = web.catalogue.lists.version(minute().cast_signed());
        self.show_kept(web, headers, (Kind::Listed, Some(version)), parameters, make).await
    }

    /// The same for a page about one plugin, which is made again only when that changes.
    pub async fn show_of_plugin<P, F>(
        self,
        web: &Web,
        headers: &HeaderMap,
        (id, kind): (&PluginId, Kind),
        parameters: &[&str],
        make: impl FnOnce(Self) -> F + Send,
    ) -> Result<Response>
    where
        P: Template,
        F: Future<Output = Result<P>> + Send,
    {
        // One that is not listed is unknown, banned or wholly yanked: rare, and not worth keeping.
        let revisions = web.catalogue.lists.revisions(id.as_str());
        let version = revisions.map(|(revision, _)| Version { state: [revision.cast_unsigned(), minute()], mark: 0 });
        self.show_kept(web, headers, (kind, version), parameters, make).await
    }

    async fn show_kept<P, F>(
        mut self,
        web: &Web,
        headers: &HeaderMap,
        (kind, version): (Kind, Option<Version>),
        parameters: &[&str],
        make: impl FnOnce(Self) -> F + Send,
    ) -> Result<Response>
    where
        P: Template,
        F: Future<Output = Result<P>> + Send,
    {
        let render = |page: P| -> Result<String> {
            let mut html = page.render().map_err(|e| Error::Internal(e.into()))?;
            // It may be kept for long, and grew by doubling.
            html.shrink_to_fit();
            Ok(html)
        };
        self.look.keep_parameters(parameters);
        let PageContext { lang, theme, ref base, ref path, ref query, .. } = self.look;
        let kind = if query.is_empty() { self.look.kind(kind) } else { Kind::Query };
        let key = format!("page {lang:?}{theme} {base}{path}?{query}");
        let is_for_everybody = self.session.is_none() && self.look.notice.is_none();
        let frame = PageHeaders { lang, cookie: None };
        let ready = match version.filter(|_| is_for_everybody) {
            Some(version) => {
                web.cache.local(kind, key, version, || async { Ok(render(make(self).await?)?.into_bytes()) }).await?
            }
            None => match (web.health.database.unless_down(make(self)).await, version) {
                // What everybody sees is better than nothing.
                (Err(Error::Unavailable(cause)), Some(version)) => {
                    web.cache.last(kind, &key, version).await.ok_or(Error::Unavailable(cause))?
                }
                (page, _) => return Ok(frame.on(Html(render(page?)?).into_response())),
            },
        };
        let mut response = ready.respond(headers);
        if let Some(media) = response.headers_mut().get_mut(header::CONTENT_TYPE) {
            *media = HeaderValue::from_static("text/html; charset=utf-8");
        }
        Ok(frame.on(response))
    }

    async fn of(parts: &Parts, web: &Web) -> Result<Self> {
        let mut look = PageContext::bare(web, parts);
        let session = match cookies::read(&parts.headers, cookies::SESSION) {
            Some(token) => accounts::find_session_user(&web.accounts, token).await?,
            None => None,
        };
        look.viewer = session
            .as_ref()
            .map(|session| Viewer { username: session.user.username.clone(), is_admin: session.user.is_admin() });
        let done = Params::parse(parts.uri.query().unwrap_or_default()).ok();
        // Only after a form of this site: what a link of somebody else says was not done.
        let site = parts.headers.get("sec-fetch-site");
        let is_own = site.is_none_or(|site| site == "same-origin") && cookies::form_token(&parts.headers).is_some();
        look.notice = done.as_ref().filter(|_| is_own).and_then(|params| notice(look.lang, params.text(&["done"])?));
        Ok(Self { look, session })
    }
}

impl FromRequestParts<Arc<Web>> for Visitor {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Self> {
        match Self::of(parts, web).await {
            // Who it is cannot be known; what everybody may see can be shown all the same.
            Err(Error::Unavailable(_)) => Ok(Self { look: PageContext::bare(web, parts), session: None }),
            visitor => visitor,
        }
    }
}

/// Somebody signed in; others are sent to sign in and come back.
pub(super) struct Member {
    pub look: PageContext,
    pub session: SessionUser,
}

impl FromRequestParts<Arc<Web>> for Member {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Self, Response> {
        let visitor = Visitor::of(parts, web).await.map_err(IntoResponse::into_response)?;
        let Visitor { look, session } = visitor;
        match session {
            Some(session) => Ok(Self { look, session }),
            None => {
                let target = match parts.method {
                    Method::GET | Method::HEAD => {
                        parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned()
                    }
                    // Nothing can be sent again after signing in, so the page with the form is shown.
                    _ => redirect::page_of_form(parts.uri.path()),
                };
                let next = utf8_percent_encode(&target, NON_ALPHANUMERIC);
                Err(redirect::see_other(&format!("/login?next={next}")))
            }
        }
    }
}

/// An administrator.
pub(super) struct AdminPage {
    pub look: PageContext,
    pub admin: CurrentUser,
}

impl FromRequestParts<Arc<Web>> for AdminPage {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Self, Response> {
        let Member { look, session } = Member::from_request_parts(parts, web).await?;
        if !session.user.is_admin() {
            return Err(Error::new(&codes::FORBIDDEN).into_response());
        }
        Ok(Self { look, admin: session.user })
    }
}
