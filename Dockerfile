# syntax=docker/dockerfile:1
# Two stages: one that compiles, and one that holds the binary, the libraries it needs and no
# compiler. The steps are ./dev's own, so that `./dev debian13` can run them without Docker.
#
#   docker build -t sallyport .
#   docker run -p 443:443 -v /etc/sallyport:/etc/sallyport:ro sallyport
FROM debian:trixie AS build
WORKDIR /src
COPY dev ./
RUN ./dev deps build
COPY . .
RUN ./dev image build

FROM debian:trixie-slim
RUN --mount=type=bind,from=build,source=/src,target=/src /src/dev image install
# The user is not root; binding 443 needs no capability where Docker sets ip_unprivileged_port_start=0.
USER sallyport
EXPOSE 80 443
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/sallyport", "run", "-c", "/etc/sallyport/sallyport.yaml"]
