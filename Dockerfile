# The operator's image: one static binary and nothing else. `make image` builds the binary and then this, with the target
# directory as context, so that an image can also be made where there is no Docker engine and no base image to be had.
FROM scratch
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="bailiwick" \
      org.opencontainers.image.description="Organizations, users, groups and roles as plain YAML, enforced with native Kubernetes RBAC" \
      org.opencontainers.image.source="https://github.com/bailiwick-dev/bailiwick" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY LICENSE /LICENSE
COPY bailiwick /bailiwick
# Nobody in particular; the chart says the same.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/bailiwick"]
CMD ["run"]
