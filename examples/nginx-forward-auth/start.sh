#!/bin/sh
# Start nginx, in the foreground, with nginx.conf from beside this script. Four addresses can be set:
#   LISTEN     where nginx listens
#   KEYBEARER  where Keybearer listens
#   SERVICE    where the service listens that is to be guarded
#   ORIGIN     the browser origin that may call it
set -eu

here=$(cd "$(dirname "$0")" && pwd)
if ! command -v nginx > /dev/null; then
    echo "start.sh: nginx is not installed; on Debian: apt-get install nginx-light" >&2
    exit 1
fi
directory=$(mktemp -d)
mkdir "$directory/temp"
chmod 755 "$directory" # nginx's workers run as another user
sed -e "s|@LISTEN@|${LISTEN:-127.0.0.1:8080}|" \
    -e "s|@KEYBEARER@|${KEYBEARER:-127.0.0.1:8100}|" \
    -e "s|@SERVICE@|${SERVICE:-127.0.0.1:8000}|" \
    -e "s|@ORIGIN@|${ORIGIN:-http://localhost:3000}|" \
    "$here/nginx.conf" > "$directory/nginx.conf"
nginx -e stderr -p "$directory" -c nginx.conf -g 'daemon off;' &
nginx=$!
trap 'kill -TERM $nginx' INT TERM
wait $nginx || true
wait $nginx 2> /dev/null || true
rm -rf "$directory"
