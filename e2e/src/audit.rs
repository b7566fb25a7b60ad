//! The API server's audit log: who asked for what, and what came of it.
use std::hash::{BuildHasher as _, RandomState};

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::Value;

use crate::User;

/// One answered request.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditedRequest {
    /// The user's name.
    pub user: String,
    /// What the client calls itself, if it does.
    pub user_agent: String,
    /// get, list, watch, create, update, patch, delete or deletecollection; in lower case what HTTP calls it for anything but
    /// a resource.
    pub verb: String,
    /// The path and query.
    pub uri: String,
    /// The plural of the object's kind; empty for anything but a resource.
    pub resource: String,
    /// Such as "status"; empty for the object itself.
    pub subresource: String,
    /// The object's namespace; empty without.
    pub namespace: String,
    /// The object's name; empty for a list.
    pub name: String,
    /// The HTTP status.
    pub code: u16,
    /// What was written; only kept for `status`.
    pub body: Option<Value>,
    /// When it was answered: RFC 3339 in UTC with microseconds, so that later ones sort later.
    pub time: String,
}

/// Requests in the order they were answered. Each filter gives those that match.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Requests(Vec<AuditedRequest>);

impl Requests {
    /// Reads the text of a log. The last line may not be whole yet.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let events = whole.map(serde_json::from_str::<Event>).collect::<Result<Vec<_>, _>>();
        let events = events.context("the audit log is malformed")?;
        let answered = events.into_iter().filter(|event| event.stage == "ResponseComplete");
        Ok(Self(answered.map(AuditedRequest::from).collect()))
    }

    /// Those by `user`.
    #[must_use]
    pub fn by(self, user: User) -> Self {
        self.filter(|request| request.user == user.name())
    }

    /// Those that are one of `verbs`.
    #[must_use]
    pub fn verbs(self, verbs: &[&str]) -> Self {
        self.filter(|request| verbs.contains(&request.verb.as_str()))
    }

    /// Those that write.
    #[must_use]
    pub fn writes(self) -> Self {
        self.verbs(&["create", "update", "patch", "delete", "deletecollection"])
    }

    /// Those about `resource`: its plural, such as `submissions`, or with a subresource, such as `submissions/status`.
    #[must_use]
    pub fn of(self, resource: &str) -> Self {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        self.filter(|request| request.resource == resource && request.subresource == subresource)
    }

    /// Those about one object, its subresources included.
    #[must_use]
    pub fn about(self, namespace: &str, name: &str) -> Self {
        self.filter(|request| request.namespace == namespace && request.name == name)
    }

    /// Those that succeeded: 2xx.
    #[must_use]
    pub fn succeeded(self) -> Self {
        self.filter(|request| (200..300).contains(&request.code))
    }

    /// Those that were answered with `code`.
    #[must_use]
    pub fn code(self, code: u16) -> Self {
        self.filter(|request| request.code == code)
    }

    /// Those that `matches` says.
    #[must_use]
    pub fn filter(mut self, matches: impl Fn(&AuditedRequest) -> bool) -> Self {
        self.0.retain(matches);
        self
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, AuditedRequest> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Requests {
    type Item = &'a AuditedRequest;
    type IntoIter = std::slice::Iter<'a, AuditedRequest>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A word that no other request has.
pub(crate) fn marker() -> String {
    format!("{:016x}", RandomState::new().hash_one(0))
}

/// A line of the log: audit.k8s.io/v1, kind Event.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    stage: String,
    verb: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    user: EventUser,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(default)]
    response_status: ResponseStatus,
    request_object: Option<Value>,
    stage_timestamp: String,
}

#[derive(Deserialize)]
struct EventUser {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResponseStatus {
    code: u16,
}

impl From<Event> for AuditedRequest {
    fn from(event: Event) -> Self {
        let ObjectRef { resource, subresource, namespace, name } = event.object_ref;
        Self {
            user: event.user.username,
            user_agent: event.user_agent,
            verb: event.verb,
            uri: event.request_uri,
            resource,
            subresource,
            namespace,
            name,
            code: event.response_status.code,
            body: event.request_object,
            time: event.stage_timestamp,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(user: &str, verb: &str, subresource: &str, code: u16, stage: &str) -> String {
        let object =
            json!({ "resource": "submissions", "subresource": subresource, "namespace": "n", "name": "a" });
        let event = json!({
            "kind": "Event", "stage": stage, "verb": verb, "requestURI": "/apis", "user": { "username": user, "groups": [] },
            "objectRef": object, "responseStatus": { "metadata": {}, "code": code }, "stageTimestamp": "2026-11-20T16:30:32.698983Z",
        });
        event.to_string() + "\n"
    }

    #[test]
    fn requests_are_told_apart() {
        let log = [
            line("admin", "create", "", 201, "ResponseComplete"),
            line("admin", "create", "", 409, "ResponseComplete"),
            line("kubejudge-operator", "patch", "status", 200, "ResponseComplete"),
            line("kubejudge-operator", "watch", "", 200, "ResponseStarted"),
            r#"{"stage":"ResponseCom"#.to_owned(),
        ];
        let all = Requests::parse(&log.concat()).unwrap();
        assert_eq!(all.len(), 3);
        assert_eq!(all.clone().by(User::Admin).len(), 2);
        assert_eq!(all.clone().by(User::Admin).succeeded().len(), 1);
        assert_eq!(all.clone().code(409).len(), 1);
        assert_eq!(all.clone().of("submissions").len(), 2);
        assert_eq!(all.clone().of("submissions/status").verbs(&["patch"]).len(), 1);
        assert_eq!(all.clone().writes().about("n", "a").len(), 3);
        assert!(all.about("n", "b").is_empty());
    }

    #[test]
    fn a_malformed_line_is_an_error() {
        Requests::parse("{\"stage\":\n").unwrap_err();
    }
}
