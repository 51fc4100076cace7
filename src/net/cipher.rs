//! A viewer's TLS session once its handshake is over: what the seat writes is encrypted, what comes is decrypted.

use std::io::{self, IoSlice, Read, Write};

use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio_rustls::rustls::ServerConnection;

/// The most encrypted bytes that wait for the socket: one record.
pub(super) const RECORD_BYTES: usize = 16 * 1024;

/// The session of one socket.
///
/// The TLS listener bounds what it keeps encrypted at one record, 16 KiB.
#[derive(Debug)]
pub struct Cipher {
    /// Guards the session: held for one read or write, never over an await.
    session: Mutex<ServerConnection>,
}

impl Cipher {
    /// Takes the session of a finished handshake.
    #[must_use]
    pub fn new(session: ServerConnection) -> Box<Self> {
        Box::new(Self { session: Mutex::new(session) })
    }

    /// Reads what the peer said, as far as it came.
    ///
    /// # Errors
    /// `WouldBlock` if nothing came; the socket's own, and `InvalidData` for what is no TLS.
    pub fn read(&self, socket: &TcpStream, into: &mut [u8]) -> io::Result<usize> {
        let mut session = self.session.lock();
        loop {
            match session.reader().read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Who goes without a word has gone.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                done => return done,
            }
            session.read_tls(&mut RawSocket(socket))?;
            if let Err(error) = session.process_new_packets() {
                // The alert, as far as it is taken.
                let _ = flush(&mut session, socket);
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
    }

    /// Encrypts and writes as much as the socket takes; what is encrypted and not taken waits for [`Self::flush`].
    ///
    /// # Errors
    /// `WouldBlock` if the socket is full; the socket's own.
    pub fn write(&self, socket: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut session = self.session.lock();
        flush(&mut session, socket)?;
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut taken = session.writer().write_vectored(slices)?;
        while taken < total && flush(&mut session, socket).is_ok() {
            // A page of history: more than a record.
            let mut rest = slices.to_vec();
            let mut rest = &mut rest[..];
            IoSlice::advance_slices(&mut rest, taken);
            taken += session.writer().write_vectored(rest)?;
        }
        // If the socket is full or broken, the next flush or write says so.
        let _ = flush(&mut session, socket);
        Ok(taken)
    }

    /// Writes what is encrypted already.
    ///
    /// # Errors
    /// `WouldBlock` if the socket is full; the socket's own.
    pub fn flush(&self, socket: &TcpStream) -> io::Result<()> {
        flush(&mut self.session.lock(), socket)
    }

    /// Says that nothing more will be written, as far as the socket takes it.
    pub fn finish(&self, socket: &TcpStream) {
        let mut session = self.session.lock();
        session.send_close_notify();
        let _ = flush(&mut session, socket);
    }
}

fn flush(session: &mut ServerConnection, socket: &TcpStream) -> io::Result<()> {
    while session.wants_write() {
        if session.write_tls(&mut RawSocket(socket))? == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
    }
    Ok(())
}

/// The socket as TLS reads and writes it: as far as it goes at once.
struct RawSocket<'a>(&'a TcpStream);

impl Read for RawSocket<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(into)
    }
}

impl Write for RawSocket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            [one] => self.0.try_write(one),
            several => self.0.try_write_vectored(several),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
