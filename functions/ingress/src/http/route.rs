use std::borrow::Cow;

use http::Method;
use percent_encoding::percent_decode_str;
use rendezvous_core::{EndpointName, RequestId, names::shown};

use super::problem::Problem;

/// What a call is for, by method and path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    Ask(EndpointName),
    Read(EndpointName, RequestId),
    Report(EndpointName, RequestId),
    Describe(EndpointName),
    List,
    Health,
}

impl Route {
    pub(super) fn of(method: &Method, path: &str) -> Result<Self, Problem> {
        let parts = path.trim_matches('/').split('/');
        let parts = parts.map(|part| percent_decode_str(part).decode_utf8());
        let parts: Vec<Cow<'_, str>> = parts
            .collect::<Result<_, _>>()
            .map_err(|_| Problem::malformed("The path is not percent-encoded UTF-8.".to_owned()))?;
        let parts: Vec<&str> = parts.iter().map(Cow::as_ref).collect();
        match parts[..] {
            ["health"] => reads(method, || Ok(Self::Health)),
            ["v1", "endpoints"] => reads(method, || Ok(Self::List)),
            ["v1", "endpoints", name] => reads(method, || endpoint(name).map(Self::Describe)),
            ["v1", "endpoints", name, "requests"] => {
                only(method, &Method::POST, "POST", || endpoint(name).map(Self::Ask))
            }
            ["v1", "endpoints", name, "requests", request] => {
                reads(method, || Ok(Self::Read(endpoint(name)?, id(request)?)))
            }
            ["v1", "endpoints", name, "requests", request, "outcome"] => {
                only(method, &Method::PUT, "PUT", || {
                    Ok(Self::Report(endpoint(name)?, id(request)?))
                })
            }
            _ => Err(Problem::not_found(
                "There is nothing at this path. Requests go to POST /v1/endpoints/{endpoint}/requests."
                    .to_owned(),
            )),
        }
    }
}

/// A route that reads: GET, and HEAD as RFC 9110 asks for.
fn reads(
    method: &Method,
    route: impl FnOnce() -> Result<Route, Problem>,
) -> Result<Route, Problem> {
    if *method == Method::HEAD { route() } else { only(method, &Method::GET, "GET, HEAD", route) }
}

fn only(
    method: &Method,
    expected: &Method,
    allowed: &'static str,
    route: impl FnOnce() -> Result<Route, Problem>,
) -> Result<Route, Problem> {
    if method == expected { route() } else { Err(Problem::method(method, expected, allowed)) }
}

fn endpoint(name: &str) -> Result<EndpointName, Problem> {
    name.parse().map_err(|_| Problem::not_found(format!("There is no endpoint {}.", shown(name))))
}

fn id(id: &str) -> Result<RequestId, Problem> {
    id.parse().map_err(|_| {
        Problem::not_found(format!("{} is not the id of a request; ids are UUIDs.", shown(id)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_are_percent_decoded() {
        let route = |path| Route::of(&Method::POST, path).unwrap();
        let asked = Route::Ask("flight-delay".parse().unwrap());
        assert_eq!(route("/v1/endpoints/flight%2Ddelay/requests"), asked);
        assert_eq!(route("/v1/endpoints/flight-delay/requests/"), asked);
        assert!(Route::of(&Method::GET, "/v1/endpoints/%ff").is_err());
    }

    #[test]
    fn head_goes_where_get_goes() {
        for path in ["/health", "/v1/endpoints", "/v1/endpoints/e"] {
            let route = |method| Route::of(&method, path).unwrap();
            assert_eq!(route(Method::HEAD), route(Method::GET));
        }
        assert!(Route::of(&Method::HEAD, "/v1/endpoints/e/requests").is_err());
    }
}
