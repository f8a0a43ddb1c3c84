# The image: the binary, and beside it the bundled components with their compiled code, on glibc without a shell.
#
#   docker buildx build --platform linux/amd64,linux/arm64 --tag registry.example.com/postern:0.1.0 --push .

# Components are the same for every platform, so they are built once, on the platform that builds.
FROM --platform=$BUILDPLATFORM rust:1.95-bookworm AS components
COPY --from=golang:1.26-bookworm /usr/local/go /usr/local/go
ENV PATH=/usr/local/go/bin:$PATH
WORKDIR /src
COPY rust-toolchain.toml ./
RUN rustup target add wasm32-unknown-unknown
COPY . .
RUN mkdir /components \
 && cargo build --locked --package postern-guest-tools --bin guest-tools \
 && target/debug/guest-tools rust-workspace plugins --out-dir /components \
 && target/debug/guest-tools go plugins/go-template --world template-engine --out /components/go-template.wasm \
 && rm -rf /components/build /components/*.stamp

# The binary is built for each platform, on a node of it or by emulation; it compiles the components for where it runs.
FROM rust:1.95-bookworm AS binary
WORKDIR /src
COPY . .
RUN cargo build --locked --release --package postern-operator --bin postern \
 && install -D --strip --mode=0755 target/release/postern /image/postern
COPY --from=components /components /components
RUN /image/postern bundle --from /components --to /image/plugins

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=binary /image /usr/local/bin
# By number, so that `runAsNonRoot` can be checked.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/postern"]
CMD ["run"]
