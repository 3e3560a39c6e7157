# churn: every service, the embedded server and the commands of an operator in one static program, and nothing else.
#
#   docker build --build-arg VERSION="$(git describe --tags --always)" --tag churn .
#   docker run --rm --publish 127.0.0.1:8080:8080 --publish 127.0.0.1:5000:5000 --volume churn:/data churn
#
# BuildKit is needed (the default since Docker 23). Dockerfile.serve is the small image for serving alone.
FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=unknown
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags "-s -w -X telco-churn-mlops/internal/app.version=${VERSION}" -o /out/ ./cmd/churn
# The final stage has no shell to make folders with. A new named volume takes its owner from the folder that it covers.
RUN mkdir -p /root-of-image/data /root-of-image/etc/ssl/certs /root-of-image/usr/share && \
    mkdir -m 1777 /root-of-image/tmp && \
    cp /etc/ssl/certs/ca-certificates.crt /root-of-image/etc/ssl/certs/ && \
    cp /usr/local/go/lib/time/zoneinfo.zip /root-of-image/usr/share/ && \
    chown -R 65532:65532 /root-of-image/data

FROM scratch
ARG VERSION=unknown
LABEL org.opencontainers.image.title="churn" \
      org.opencontainers.image.description="A model loop that runs itself: train, gate, promote, serve, watch, retrain and roll back, on NATS JetStream." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build /root-of-image/ /
COPY --from=build /out/churn /churn
# A container's loopback is its own, so its services listen on every address; which port is open outside is said by --publish. Whoever publishes
# the registry's beyond his machine gives it users (CHURN_ACCESS_FILE), which count instead of CHURN_INSECURE_OPEN.
ENV ZONEINFO=/usr/share/zoneinfo.zip \
    CHURN_STORE_DIR=/data \
    CHURN_HOST=0.0.0.0 \
    CHURN_INFERENCE_ADDR=:8080 \
    CHURN_REGISTRY_ADDR=:5000 \
    CHURN_INSECURE_OPEN=true \
    CHURN_TRAINER_ADDR=:8081 \
    CHURN_DRIFT_ADDR=:8082 \
    CHURN_SCORER_ADDR=:8083
USER 65532:65532
WORKDIR /data
VOLUME ["/data"]
EXPOSE 4222 5000 8080 8081 8082 8083
# For the default command: ready once a verified model answers. Another service's health is asked for at its own address.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["/churn", "health", "--url", "http://127.0.0.1:8080/readyz"]
ENTRYPOINT ["/churn"]
CMD ["up"]
