//! The system that a command is about: a stack, or the data folder of a local system.

use std::path::PathBuf;

use clap::Args;
use rendezvous_folder::DataFolder;
use rendezvousctl::failure::Failure;

use crate::stack::Stack;

/// Which system a command is about.
#[derive(Args, Clone, Debug)]
pub(crate) struct Target {
    /// The name of the stack.
    #[arg(
        long,
        env = "RENDEZVOUS_STACK",
        default_value = "rendezvous",
        global = true,
        help_heading = "System"
    )]
    stack: String,
    /// The data folder of a local system, instead of a stack.
    #[arg(long, value_name = "DIR", global = true, help_heading = "System")]
    data: Option<PathBuf>,
    /// The AWS profile. By default it is found as by the AWS CLI, as are region and credentials.
    #[arg(long, global = true, help_heading = "System")]
    profile: Option<String>,
    /// The AWS region.
    #[arg(long, global = true, help_heading = "System")]
    region: Option<String>,
    /// The address of an emulator of AWS.
    #[arg(long, value_name = "URL", global = true, help_heading = "System")]
    endpoint_url: Option<String>,
}

/// A system that was found.
pub(crate) enum System {
    Stack(Box<Stack>),
    Folder(DataFolder),
}

impl Target {
    /// The data folder that is named, if one is.
    pub(crate) fn data(&self) -> Option<&PathBuf> {
        self.data.as_ref()
    }

    /// `stack NAME` or `data folder DIR`.
    pub(crate) fn name(&self) -> String {
        match &self.data {
            Some(folder) => format!("data folder {}", folder.display()),
            None => format!("stack {}", self.stack),
        }
    }

    pub(crate) async fn open(&self) -> Result<System, Failure> {
        match &self.data {
            Some(_) => Ok(System::Folder(self.folder()?)),
            None => Ok(System::Stack(Box::new(self.stack().await.map_err(Failure::Failed)?))),
        }
    }

    pub(crate) async fn stack(&self) -> Result<Stack, String> {
        let Self { stack, profile, region, endpoint_url, .. } = self;
        Stack::find(stack, profile.as_deref(), region.clone(), endpoint_url.clone()).await
    }

    /// The data folder, which must exist: to open one creates it.
    pub(crate) fn folder(&self) -> Result<DataFolder, Failure> {
        let path = self.data.as_deref().unwrap_or_else(|| ".".as_ref());
        if !path.join("endpoints").is_dir() && !path.join("archive").is_dir() {
            return Err(Failure::Usage(format!(
                "{} is not the data folder of a local system, which has folders endpoints and archive",
                path.display()
            )));
        }
        DataFolder::open(path).map_err(|error| Failure::Failed(error.to_string()))
    }
}
