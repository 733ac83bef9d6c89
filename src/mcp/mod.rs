//! The door for models: our tools, served by the Model Context Protocol on standard input and output. What a tool does
//! stands in [`ops`](crate::ops); here it gets its name, its description and its form.
//!
//! Promises: nothing but the protocol is ever written to standard output, and whatever a client sends, the server answers
//! and goes on. What a model asked for wrongly is a result that says what to do, which the model reads; an error of the
//! protocol it would never see. It ends when standard input ends.

use crate::life::House;
use crate::ops::{self, Error, Result};
use crate::tools::process;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig,
};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::{ErrorData, ServerHandler, ServiceExt};
use serde_json::Value;
use std::sync::Mutex;
use std::time::Duration;
use tools::{Memory, Trouble};

mod forms;
mod schema;
mod tools;

/// What models are told before they call anything.
const INSTRUCTIONS: &str = "Your way to the other agents of ai_orch on this repository, and to the person who started you. \
    Begin with whoami.";

/// Serves until standard input ends.
pub fn serve(house: &House) -> Result<()> {
    let runtime = ops::runtime()?;
    let ended = runtime.block_on(async {
        let failed = |why: String| {
            let source = std::io::Error::other(why);
            Error::from(process::Error { action: "serve MCP".to_owned(), source })
        };
        let server = Server { house: house.clone(), memory: Mutex::default() };
        let running = match server.serve(rmcp::transport::stdio_pipes()).await {
            Ok(running) => running,
            // A client that went away before it said anything is no failure of ours.
            Err(rmcp::service::ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
            Err(error) => return Err(failed(error.to_string())),
        };
        running.waiting().await.map(drop).map_err(|e| failed(e.to_string()))
    });
    // A read of standard input that nothing ends must not hold us up.
    runtime.shutdown_timeout(Duration::from_millis(100));
    ended
}

/// What answers a client.
struct Server {
    house: House,
    memory: Mutex<Memory>,
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new(crate::agents::mcp::NAME, env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> std::result::Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools::offered()))
    }

    async fn call_tool(
        &self,
        asked: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> std::result::Result<CallToolResponse, ErrorData> {
        let arguments = Value::Object(asked.arguments.unwrap_or_default());
        let done = tools::call(&self.house, &self.memory, &asked.name, arguments).await;
        let text = |value: Value| vec![ContentBlock::text(value.to_string())];
        Ok(match done {
            Ok(value) => CallToolResult::success(text(value)),
            Err(trouble) => CallToolResult::error(text(Trouble::json(&trouble))),
        }
        .into())
    }
}
