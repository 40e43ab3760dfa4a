//! REST, WebSocket, access tokens and the view store.
