//! Errors of the benchmarks.

/// Why something could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Plane(#[from] control_plane::Error),
    #[error(transparent)]
    File(#[from] std::io::Error),
    #[error("{0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    #[error("{0}")]
    Request(#[from] Box<kube::Error>),
    #[error("{0}")]
    Program(String),
    #[error("cannot read what was printed: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it does not come to rest; the operator says:\n{0}")]
    Late(String),
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        Box::new(error).into()
    }
}
