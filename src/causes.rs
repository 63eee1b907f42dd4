//! An error together with what caused it.

use std::{error::Error, iter::successors};

/// An error and its causes in one line.
pub(crate) fn one_line(error: &dyn Error) -> String {
    successors(Some(error), |&error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_follow_the_error_in_one_line() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read certs/tls.crt")]
        struct Outer(#[source] std::io::Error);

        let error = Outer(std::io::Error::other("device lost"));
        assert_eq!(one_line(&error), "cannot read certs/tls.crt: device lost");
    }
}
