//! The SDK's clients, made once at the cold start from the function's environment.

use std::time::Duration;

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{behavior_version::BehaviorVersion, http::SharedHttpClient};
use aws_smithy_types::{retry::RetryConfig, timeout::TimeoutConfig};
use aws_types::{
    SdkConfig,
    region::Region,
    service_config::{LoadServiceConfig, ServiceConfigKey},
};

use crate::{
    BadVariable, DynamoEndpoints, DynamoLedger, DynamoOutcomes, DynamoWindows, Environment,
    KinesisStream, S3Address, S3Archive, S3Object, S3Payloads, StackSecrets,
};

/// Time-outs of calls that a client waits for. An answer takes single milliseconds; one that has
/// not come after the read time-out is lost, and asking again within the deadline is worth more
/// than waiting on. Whoever calls sets the limit that counts: its request's deadline.
fn quick() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_millis(250))
        .read_timeout(Duration::from_millis(400))
        .operation_attempt_timeout(Duration::from_millis(500))
        .operation_timeout(Duration::from_secs(2))
        .build()
}

/// The same for large payloads, for which a client waits: 5 MB take longer than an item of a table.
fn large() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_millis(250))
        .read_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(Duration::from_secs(4))
        .operation_timeout(Duration::from_secs(10))
        .build()
}

/// The same for files, for which no client waits.
fn patient() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .read_timeout(Duration::from_secs(5))
        .operation_attempt_timeout(Duration::from_secs(10))
        .operation_timeout(Duration::from_mins(1))
        .build()
}

/// A file that has been made is worth more patience: S3 asks callers to slow down for seconds.
fn patient_retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(5)
        .with_initial_backoff(Duration::from_millis(200))
        .with_max_backoff(Duration::from_secs(5))
}

/// Three attempts, a hundredth of a second apart at first: a second would be the whole deadline.
fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(3)
        .with_initial_backoff(Duration::from_millis(10))
        .with_max_backoff(Duration::from_millis(100))
}

/// How long an idle connection is kept. AWS closes them a little later.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// An HTTP client that keeps connections; made without touching the network or certificates.
pub fn http_client() -> SharedHttpClient {
    Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .pool_idle_timeout(KEEP_ALIVE)
        .build_https()
}

/// AWS as one function sees it: the ports on the tables, streams and buckets that its environment
/// names. Each method says which variables it reads; one that is missing names itself.
#[derive(Debug)]
pub struct Aws {
    environment: Environment,
    config: SdkConfig,
}

impl Aws {
    /// Reads `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`, which
    /// Lambda sets for the life of the process, and `AWS_ENDPOINT_URL`, which emulators set. As for all SDKs, a
    /// variable such as `AWS_ENDPOINT_URL_DYNAMODB` comes before it for the service that it names.
    pub fn new(environment: Environment) -> Result<Self, BadVariable> {
        Self::calling(environment, http_client())
    }

    /// The same with another HTTP client.
    pub(crate) fn calling(
        environment: Environment,
        http: SharedHttpClient,
    ) -> Result<Self, BadVariable> {
        let credentials = Credentials::new(
            environment.required("AWS_ACCESS_KEY_ID")?,
            environment.required("AWS_SECRET_ACCESS_KEY")?,
            environment.optional("AWS_SESSION_TOKEN").map(str::to_owned),
            None,
            "environment",
        );
        let mut config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(environment.required("AWS_REGION")?.to_owned()))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(http)
            .service_config(ServiceEndpoints(environment.clone()))
            .timeout_config(quick())
            .retry_config(retries());
        config.set_endpoint_url(environment.optional("AWS_ENDPOINT_URL").map(str::to_owned));
        Ok(Self { config: config.build(), environment })
    }

    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// What clients of services that are no port of ours are made from.
    pub fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// The stream that `variable` names.
    pub fn stream(&self, variable: &'static str) -> Result<KinesisStream, BadVariable> {
        let name = self.environment.required(variable)?;
        // The port itself sends again, and only what was rejected.
        let config = aws_sdk_kinesis::config::Builder::from(&self.config)
            .retry_config(RetryConfig::disabled())
            .build();
        Ok(KinesisStream::new(aws_sdk_kinesis::Client::from_conf(config), name))
    }

    /// The ledger: `LEDGER_TABLE`, and `LEDGER_HOURS`, for which it keeps a mailbox.
    pub fn ledger(&self) -> Result<DynamoLedger, BadVariable> {
        let hours = u64::from(self.environment.number("LEDGER_HOURS")?);
        let table = self.environment.required("LEDGER_TABLE")?;
        let retention = Duration::from_secs(hours * 3_600);
        Ok(DynamoLedger::new(self.dynamodb(), table, retention))
    }

    /// The endpoints table: `ENDPOINTS_TABLE`.
    pub fn endpoints(&self) -> Result<DynamoEndpoints, BadVariable> {
        Ok(DynamoEndpoints::new(self.dynamodb(), self.environment.required("ENDPOINTS_TABLE")?))
    }

    /// The outcomes table: `OUTCOMES_TABLE`.
    pub fn outcomes(&self) -> Result<DynamoOutcomes, BadVariable> {
        Ok(DynamoOutcomes::new(self.dynamodb(), self.environment.required("OUTCOMES_TABLE")?))
    }

    /// The table of windows: `WINDOWS_TABLE`.
    pub fn windows(&self) -> Result<DynamoWindows, BadVariable> {
        Ok(DynamoWindows::new(self.dynamodb(), self.environment.required("WINDOWS_TABLE")?))
    }

    /// The archive: `ARCHIVE_BUCKET`.
    pub fn archive(&self) -> Result<S3Archive, BadVariable> {
        let bucket = self.environment.required("ARCHIVE_BUCKET")?;
        Ok(S3Archive::new(self.s3(patient(), patient_retries()), bucket))
    }

    /// The payloads that are too large for a message: `PAYLOAD_BUCKET`.
    pub fn payloads(&self) -> Result<S3Payloads, BadVariable> {
        let bucket = self.environment.required("PAYLOAD_BUCKET")?;
        Ok(S3Payloads::new(self.s3(large(), retries()), bucket))
    }

    /// The same for a function that may be deployed without: then every reference is refused.
    pub fn payloads_if_any(&self) -> S3Payloads {
        let bucket = self.environment.optional("PAYLOAD_BUCKET").unwrap_or_default();
        S3Payloads::new(self.s3(large(), retries()), bucket)
    }

    /// The object at an address.
    pub fn object(&self, address: S3Address) -> S3Object {
        S3Object::new(self.s3(patient(), patient_retries()), address)
    }

    fn s3(&self, timeouts: TimeoutConfig, retries: RetryConfig) -> aws_sdk_s3::Client {
        let endpoints = ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"];
        let is_emulated =
            endpoints.into_iter().any(|name| self.environment.optional(name).is_some());
        let config = aws_sdk_s3::config::Builder::from(&self.config)
            .timeout_config(timeouts)
            .retry_config(retries)
            // An emulator has one host name for all buckets.
            .force_path_style(is_emulated)
            .build();
        aws_sdk_s3::Client::from_conf(config)
    }

    /// The secret of the stack: `IDEMPOTENCY_SECRET`, its ARN.
    pub fn secrets(&self) -> Result<StackSecrets, BadVariable> {
        let arn = self.environment.required("IDEMPOTENCY_SECRET")?;
        Ok(StackSecrets::new(aws_sdk_secretsmanager::Client::new(&self.config), arn))
    }

    fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.config)
    }
}

/// The endpoints of single services, from [the variables of all SDKs][1].
///
/// [1]: https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
#[derive(Debug)]
struct ServiceEndpoints(Environment);

impl LoadServiceConfig for ServiceEndpoints {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().to_uppercase().replace(' ', "_");
        self.0.optional(&format!("{}_{service}", key.env())).map(str::to_owned)
    }
}
