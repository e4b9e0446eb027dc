# The marketplace as a container image. Reproducible from Cargo.lock; needs neither database nor network
# beyond the package registries while it is built, because .sqlx holds the checked queries.
# A different base can be given by digest: --build-arg RUST=rust@sha256:… --build-arg DEBIAN=debian@sha256:…
ARG RUST=rust:1.95.0-slim-bookworm
ARG DEBIAN=debian:12.12-slim

FROM ${RUST} AS build
WORKDIR /src
ENV CARGO_TERM_COLOR=never
# otel, for traces.
ARG FEATURES=

# What the allocator is built with.
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*

# Dependencies and the crates without a server take minutes and change seldom: this layer is kept until they do.
COPY .cargo .cargo
COPY Cargo.toml Cargo.lock ./
COPY crates crates
RUN mkdir src && echo 'fn main() {}' >src/main.rs && touch src/lib.rs && \
    cargo build --profile dist --locked --features "$FEATURES" --lib --bins && \
    rm -rf src

COPY build.rs ./
COPY migrations migrations
COPY .sqlx .sqlx
COPY assets assets
COPY templates templates
COPY src src
# The program itself; cargo goes by times of files, and those just copied may be older than the empty ones.
RUN find src build.rs -type f -exec touch {} + && \
    cargo build --profile dist --locked --features "$FEATURES" --bin marketplace && \
    install -D -m 0755 target/dist/marketplace /out/marketplace

FROM ${DEBIAN}
LABEL org.opencontainers.image.title="GeekTools Marketplace" \
      org.opencontainers.image.licenses="MIT"

# Certificates for object storage, PostgreSQL and Redis over TLS; a user who owns nothing but the data.
RUN apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates && \
    rm -rf /var/lib/apt/lists/* && \
    groupadd --gid 10001 marketplace && \
    useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/marketplace --shell /usr/sbin/nologin marketplace && \
    install -d -o marketplace -g marketplace -m 0755 /var/lib/marketplace /srv/packages

COPY LICENSE LICENSE-APACHE NOTICE /usr/share/doc/marketplace/
COPY --from=build /out/marketplace /usr/local/bin/marketplace
USER marketplace
WORKDIR /var/lib/marketplace
ENV MARKETPLACE__SERVER__HOST=0.0.0.0 \
    MARKETPLACE__DATA_DIR=/var/lib/marketplace \
    MARKETPLACE__LOG__FORMAT=json
VOLUME ["/var/lib/marketplace", "/srv/packages"]
EXPOSE 5000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["marketplace", "health"]
ENTRYPOINT ["marketplace"]
CMD ["serve"]
