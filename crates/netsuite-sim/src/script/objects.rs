//! SDF objects: which scripts there are, what they are called with, and where they are deployed.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use roxmltree::{Document, Node};

/// A kind of script, which decides its entry points and limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScriptKind {
    UserEvent,
    Restlet,
    MapReduce,
    EventSubscriber,
}

/// One script record.
#[derive(Debug)]
pub(crate) struct Script {
    /// `customscript_…`
    pub(crate) id: String,
    pub(crate) kind: ScriptKind,
    /// Path in the file cabinet.
    pub(crate) file: String,
    /// Parameter → default value; null for a parameter without one.
    pub(crate) parameters: BTreeMap<String, Option<String>>,
    pub(crate) deployments: Vec<Deployment>,
}

/// One deployment of a script.
#[derive(Debug, Clone, Default)]
pub(crate) struct Deployment {
    /// `customdeploy_…`
    pub(crate) id: String,
    /// Whether it is deployed at all, and open to callers from outside (`RELEASED`).
    pub(crate) is_released: bool,
    /// Whether it is deployed at all.
    pub(crate) is_deployed: bool,
    /// Record type in lower case, for user events.
    pub(crate) record_type: String,
    /// The only event it is for, in lower case; empty: all.
    pub(crate) event_type: String,
    /// The execution contexts it is for; empty: all.
    pub(crate) contexts: Vec<String>,
    /// How often a scheduled deployment runs.
    pub(crate) every: Option<SignedDuration>,
}

/// What is wrong with an object.
#[derive(Debug, thiserror::Error)]
pub enum ObjectFault {
    /// It is no XML.
    #[error("it is no XML")]
    Malformed(#[from] roxmltree::Error),
    /// Something it cannot do without is not there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A schedule that makes no sense.
    #[error("the repetition {0} is no duration")]
    Repetition(String),
}

/// Which objects `deploy.xml` sends to the account.
#[derive(Debug)]
pub(crate) struct Deployed(Vec<String>);

impl Deployed {
    /// Whether that file of the project is among them.
    pub(crate) fn names(&self, path: &str) -> bool {
        path.starts_with("Objects/")
            && self.0.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(start) => path.starts_with(start),
                None => path == pattern,
            })
    }
}

/// Reads `deploy.xml`.
///
/// # Errors
/// It is no XML.
pub(crate) fn deployed(manifest: &str) -> Result<Deployed, ObjectFault> {
    let document = Document::parse(manifest)?;
    let objects = document.descendants().filter(|node| node.has_tag_name("objects"));
    let paths = objects.flat_map(|node| node.children().filter(|child| child.has_tag_name("path")));
    Ok(Deployed(paths.filter_map(|path| path.text()?.trim().strip_prefix("~/").map(str::to_owned)).collect()))
}

/// The script that an object describes; nothing for objects of other kinds.
///
/// # Errors
/// It is no XML, or lacks what every script has.
pub(crate) fn script(text: &str) -> Result<Option<Script>, ObjectFault> {
    let document = Document::parse(text)?;
    let root = document.root_element();
    let kind = match root.tag_name().name() {
        "usereventscript" => ScriptKind::UserEvent,
        "restlet" => ScriptKind::Restlet,
        "mapreducescript" => ScriptKind::MapReduce,
        "eventsubscriber" => ScriptKind::EventSubscriber,
        _ => return Ok(None),
    };
    let file = child_text(root, "scriptfile").or_else(|| child_text(root, "scriptfilepath"));
    let file = file.ok_or(ObjectFault::Missing("scriptfile"))?;
    let nodes = |name: &'static str| root.descendants().filter(move |node| node.has_tag_name(name));
    let deployments = match kind {
        ScriptKind::EventSubscriber => nodes("criterion").filter_map(criterion).collect(),
        ScriptKind::UserEvent | ScriptKind::Restlet | ScriptKind::MapReduce => {
            nodes("scriptdeployment").map(deployment).collect::<Result<_, _>>()?
        }
    };
    let parameters = root.descendants().filter(|node| node.has_tag_name("scriptcustomfield")).filter_map(|node| {
        let default = child_text(node, "defaultvalue").filter(|value| !value.is_empty());
        Some((node.attribute("scriptid")?.to_owned(), default.map(str::to_owned)))
    });
    Ok(Some(Script {
        id: root.attribute("scriptid").ok_or(ObjectFault::Missing("scriptid"))?.to_owned(),
        kind,
        file: file.trim_start_matches('[').trim_end_matches(']').to_owned(),
        parameters: parameters.collect(),
        deployments,
    }))
}

fn deployment(node: Node<'_, '_>) -> Result<Deployment, ObjectFault> {
    let word = |name| child_text(node, name).unwrap_or_default();
    let is_deployed = word("isdeployed") == "T";
    let repeat = node.descendants().find(|node| node.has_tag_name("repeat")).and_then(|node| node.text());
    let every = repeat
        .map(|text| text.trim().parse::<SignedDuration>().map_err(|_| ObjectFault::Repetition(text.to_owned())))
        .transpose()?;
    Ok(Deployment {
        id: node.attribute("scriptid").ok_or(ObjectFault::Missing("scriptid of a deployment"))?.to_owned(),
        is_released: is_deployed && word("status") == "RELEASED",
        is_deployed,
        record_type: word("recordtype").to_lowercase(),
        event_type: word("eventtype").to_lowercase(),
        contexts: word("executioncontext").split('|').filter(|word| !word.is_empty()).map(str::to_owned).collect(),
        every,
    })
}

/// What an event subscriber hears of, as a deployment; it has no others.
fn criterion(node: Node<'_, '_>) -> Option<Deployment> {
    let event_type = match child_text(node, "type")? {
        "CREATED" => "create",
        "UPDATED" => "edit",
        "DELETED" => "delete",
        _ => return None,
    };
    let parameters = node.descendants().filter(|node| node.has_tag_name("parameter"));
    let record_type = parameters
        .filter(|parameter| child_text(*parameter, "name") == Some("RECORDTYPE"))
        .find_map(|parameter| child_text(parameter, "value"))?;
    Some(Deployment {
        id: format!("{record_type}_{event_type}"),
        is_released: true,
        is_deployed: true,
        record_type: record_type.to_lowercase(),
        event_type: event_type.to_owned(),
        ..Deployment::default()
    })
}

fn child_text<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.children().find(|child| child.has_tag_name(name))?.text().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_says_what_it_is_for() {
        let text = r#"<usereventscript scriptid="customscript_a">
            <scriptfile>[/SuiteScripts/a.js]</scriptfile>
            <scriptcustomfields>
              <scriptcustomfield scriptid="custscript_a"><defaultvalue>x</defaultvalue></scriptcustomfield>
              <scriptcustomfield scriptid="custscript_b"><defaultvalue></defaultvalue></scriptcustomfield>
            </scriptcustomfields>
            <scriptdeployments><scriptdeployment scriptid="customdeploy_a">
              <recordtype>CUSTOMER</recordtype><status>RELEASED</status><isdeployed>T</isdeployed>
              <eventtype>EDIT</eventtype><executioncontext>RESTLET|USERINTERFACE</executioncontext>
            </scriptdeployment></scriptdeployments></usereventscript>"#;
        let script = script(text).unwrap().unwrap();
        assert_eq!((script.kind, script.file.as_str()), (ScriptKind::UserEvent, "/SuiteScripts/a.js"));
        assert_eq!(script.parameters["custscript_a"].as_deref(), Some("x"));
        assert_eq!(script.parameters["custscript_b"], None);
        let deployment = &script.deployments[0];
        assert_eq!((deployment.record_type.as_str(), deployment.event_type.as_str()), ("customer", "edit"));
        assert_eq!(deployment.contexts, ["RESTLET", "USERINTERFACE"]);
        assert!(deployment.is_released);
    }

    #[test]
    fn only_what_deploy_xml_lists_is_deployed() {
        let some = deployed(
            "<deploy><objects><path>~/Objects/a.xml</path><!--<path>~/Objects/b.xml</path>--></objects></deploy>",
        );
        let some = some.unwrap();
        assert!(some.names("Objects/a.xml") && !some.names("Objects/b.xml"));
        let all = deployed("<deploy><objects><path>~/Objects/*</path></objects></deploy>").unwrap();
        assert!(all.names("Objects/b.xml") && !all.names("FileCabinet/c.xml"));
    }

    #[test]
    fn what_is_no_script_is_left_out_and_what_is_broken_is_told() {
        assert!(script("<customrole scriptid=\"customrole_a\"/>").unwrap().is_none());
        assert!(script("<restlet").is_err());
        assert!(script("<restlet scriptid=\"customscript_a\"/>").unwrap_err().to_string().contains("scriptfile"));
    }
}
