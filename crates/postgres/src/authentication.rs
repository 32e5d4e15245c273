//! Authentication (PostgreSQL manual, "Start-up" and "SASL Authentication").

use std::io;

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;

use crate::config::{ChannelBinding as Binding, SourceConfig};
use crate::error::{LinkError, Operation, SourceError};
use crate::wire::{Method, Wire, lost, protocol};

/// Answers the server's questions until it lets us in. The start-up message was sent before.
pub(crate) async fn authenticate(
    wire: &mut Wire,
    config: &SourceConfig,
    operation: Operation,
) -> Result<Method, SourceError> {
    let must_bind = config.channel_binding == Binding::Require;
    let unbound = |problem| LinkError::ChannelBinding { server: config.server(), problem };
    let mut method = Method::NotAsked;
    loop {
        let unsupported = |method| SourceError::AuthenticationMethod { server: config.server(), method };
        match wire.next_message(operation).await? {
            Message::AuthenticationOk if must_bind && method != Method::ScramBound => {
                return Err(unbound("it lets us in without a proof of the password").into());
            }
            Message::AuthenticationOk => return Ok(method),
            // Nothing of the password leaves before it is known that it can be bound.
            Message::AuthenticationCleartextPassword | Message::AuthenticationMd5Password(_) if must_bind => {
                return Err(unbound("it asks for the password in another way than SCRAM").into());
            }
            Message::AuthenticationCleartextPassword => {
                if !wire.transport().is_private() {
                    return Err(unsupported("clear-text password"));
                }
                let password = password(config)?;
                send(wire, |buffer| frontend::password_message(password, buffer)).await?;
                method = Method::Password;
            }
            Message::AuthenticationMd5Password(body) => {
                let hash = md5_hash(config.user.as_bytes(), password(config)?, body.salt());
                send(wire, |buffer| frontend::password_message(hash.as_bytes(), buffer)).await?;
                method = Method::Md5;
            }
            Message::AuthenticationSasl(body) => {
                let mechanisms: Vec<String> = body
                    .mechanisms()
                    .map(|name| Ok(name.to_owned()))
                    .collect()
                    .map_err(|error: io::Error| protocol(error.to_string()))?;
                method = scram(wire, config, operation, &mechanisms).await?;
            }
            Message::AuthenticationGss | Message::AuthenticationGssContinue(_) => {
                return Err(unsupported("GSSAPI"));
            }
            Message::AuthenticationKerberosV5 => return Err(unsupported("Kerberos")),
            Message::AuthenticationScmCredential => return Err(unsupported("SCM credential")),
            Message::AuthenticationSspi => return Err(unsupported("SSPI")),
            _ => return Err(protocol("a message that does not belong to authentication")),
        }
    }
}

/// SCRAM-SHA-256, bound to the TLS session wherever both sides can.
async fn scram(
    wire: &mut Wire,
    config: &SourceConfig,
    operation: Operation,
    mechanisms: &[String],
) -> Result<Method, SourceError> {
    let offers = |name: &str| mechanisms.iter().any(|mechanism| mechanism == name);
    let end_point = wire.transport().server_end_point().map(<[u8]>::to_vec);
    let unbound = |problem| Err(LinkError::ChannelBinding { server: config.server(), problem }.into());
    let (mechanism, binding, method) = match (config.channel_binding, end_point) {
        (Binding::Require, None) if !wire.transport().has_tls() => return unbound("there is no TLS session"),
        (Binding::Require, None) => return unbound("its certificate's signature defines no binding"),
        (Binding::Require, Some(_)) if !offers(SCRAM_SHA_256_PLUS) => {
            return unbound("it does not offer SCRAM-SHA-256-PLUS");
        }
        (Binding::Disable, _) if offers(SCRAM_SHA_256) => {
            (SCRAM_SHA_256, ChannelBinding::unsupported(), Method::Scram)
        }
        (Binding::Prefer | Binding::Require, Some(hash)) if offers(SCRAM_SHA_256_PLUS) => {
            (SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(hash), Method::ScramBound)
        }
        // "We could have": the server notices if somebody in between took its offer away.
        (_, Some(_)) if offers(SCRAM_SHA_256) => {
            (SCRAM_SHA_256, ChannelBinding::unrequested(), Method::Scram)
        }
        (_, None) if offers(SCRAM_SHA_256) => (SCRAM_SHA_256, ChannelBinding::unsupported(), Method::Scram),
        _ => {
            let method = "an unknown SASL";
            return Err(SourceError::AuthenticationMethod { server: config.server(), method });
        }
    };
    let not_authentic = |cause| SourceError::ServerNotAuthentic { server: config.server(), cause };
    let mut scram = ScramSha256::new(password(config)?, binding);
    send(wire, |buffer| frontend::sasl_initial_response(mechanism, scram.message(), buffer)).await?;
    let Message::AuthenticationSaslContinue(body) = wire.next_message(operation).await? else {
        return Err(protocol("SCRAM was not continued"));
    };
    scram.update(body.data()).map_err(not_authentic)?;
    send(wire, |buffer| frontend::sasl_response(scram.message(), buffer)).await?;
    let Message::AuthenticationSaslFinal(body) = wire.next_message(operation).await? else {
        return Err(protocol("SCRAM was not finished"));
    };
    scram.finish(body.data()).map_err(not_authentic)?;
    Ok(method)
}

/// Queues a message and sends it.
async fn send(
    wire: &mut Wire,
    write: impl FnOnce(&mut BytesMut) -> io::Result<()>,
) -> Result<(), SourceError> {
    wire.queue(write).map_err(lost)?;
    wire.flush().await.map_err(lost)
}

/// The password, which the server has just asked for.
fn password(config: &SourceConfig) -> Result<&[u8], SourceError> {
    config
        .password
        .as_ref()
        .map(|password| password.expose().as_bytes())
        .ok_or_else(|| SourceError::PasswordMissing { server: config.server(), user: config.user.clone() })
}
