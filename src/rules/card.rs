//! An agent's card: who it is and what it can do, in the words of A2A, from what was asked for.

use crate::model::a2a::{
    AgentCapabilities, AgentCard, AgentExtension, AgentInterface, AgentSkill, EXTENSION, FILE_BINDING,
    PROTOCOL,
};
use crate::model::entry::Spec;
use crate::rules::naming::file_url;
use std::path::Path;

/// The media types that agents take and give.
const MODES: [&str; 2] = ["text/plain", "application/json"];

/// The card of the agent that `spec` asked for, reached through the files below `copies`, at `version` of this program.
pub fn card(spec: &Spec, copies: &Path, version: &str) -> AgentCard {
    let modes = || MODES.map(str::to_owned).to_vec();
    AgentCard {
        name: spec.session.to_string(),
        description: spec.title.clone(),
        supported_interfaces: vec![AgentInterface {
            url: file_url(copies),
            protocol_binding: FILE_BINDING.to_owned(),
            protocol_version: PROTOCOL.to_owned(),
        }],
        version: version.to_owned(),
        capabilities: AgentCapabilities {
            extensions: vec![AgentExtension {
                uri: EXTENSION.to_owned(),
                description: Some("owner, lease, generation, priority and dependencies of tasks".to_owned()),
                required: false,
            }],
            ..AgentCapabilities::default()
        },
        default_input_modes: modes(),
        default_output_modes: modes(),
        skills: skills(spec),
    }
}

/// Its role, if it has one, and work by each CLI of its chain.
fn skills(spec: &Spec) -> Vec<AgentSkill> {
    let role = spec.role.as_ref().map(|role| AgentSkill {
        id: role.to_string(),
        name: role.to_string(),
        description: format!("Takes the tasks of the role {role}"),
        tags: vec!["role".to_owned(), role.to_string()],
    });
    let by_cli = spec.chain.iter().map(|link| AgentSkill {
        id: format!("cli-{}", link.cli),
        name: link.cli.clone(),
        description: format!("Works on the repository with {}", link.cli),
        tags: [Some("cli".to_owned()), link.model.clone()].into_iter().flatten().collect(),
    });
    role.into_iter().chain(by_cli).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::replay;

    #[test]
    fn a_card_says_who_where_and_what() {
        let mut spec = replay::example(vec![]).spec;
        spec.role = Some("reviewer".parse().unwrap());
        let card = card(&spec, Path::new("/tmp/a b/p%"), "1.2.3");
        assert_eq!((card.name.as_str(), card.description.as_str()), ("fix", "fix it"));
        assert_eq!(card.supported_interfaces[0].url, "file:///tmp/a%20b/p%25");
        assert_eq!(card.supported_interfaces[0].protocol_binding, FILE_BINDING);
        let ids: Vec<_> = card.skills.iter().map(|s| s.id.as_str()).collect();
        assert_eq!(ids, ["reviewer", "cli-claude", "cli-codex"]);
        assert!(card.skills.iter().all(|s| !s.tags.is_empty()));
        assert_eq!(card.capabilities.extensions[0].uri, EXTENSION);
    }
}
