{{/* What queue/src/broker says that a user needs. */}}
{{- define "kubejudge.redisCommands" -}}
+info +select +eval +evalsha +time +get +set +del +unlink +exists +hget +hset +hsetnx +hdel +hmget +hincrby +hvals +hscan +sadd +srem +scard +smembers +zadd +zrem +zrange +zscore +zcard +zremrangebyscore +llen +rpush +ltrim +blpop +blmpop
{{- end -}}

{{/* Files of Redis' ConfigMap. `users` has a line for each user: name, the file with the password, keys. */}}
{{- define "kubejudge.redisConfig" -}}
redis.conf: |
  # The queue is a hint, the Submissions are the truth: what the log loses is enqueued again.
  port 6379
  bind * -::*
  protected-mode no
  dir /data
  save ""
  appendonly yes
  appendfsync everysec
  maxmemory {{ .Values.redis.maxMemory }}
  maxmemory-policy noeviction
  aclfile /run/redis/users.acl
users: |
  operator operator ~kubejudge:*
  {{- range $name, $pool := include "kubejudge.pools" . | fromJson }}
  {{ printf "%s.%s" $.Release.Namespace $name }} pool-{{ $name }} ~kubejudge:{{ printf "{%s.%s}" $.Release.Namespace $name }}:*
  {{- end }}
write-users: |
  # Makes the ACL file of `users` and the passwords in /etc/kubejudge/passwords, of which it holds only hashes.
  set -eu
  umask 077
  commands='{{ include "kubejudge.redisCommands" . }}'
  {
    echo 'user default off'
    echo 'user probe on nopass resetkeys resetchannels -@all +ping'
    while read -r user file keys; do
      password=$(cat "/etc/kubejudge/passwords/$file")
      [ -n "$password" ] || { echo "the password of $user is empty" >&2; exit 1; }
      hash=$(printf %s "$password" | sha256sum | cut -d ' ' -f 1)
      echo "user $user on #$hash resetkeys $keys resetchannels -@all $commands"
    done </etc/kubejudge/config/users
  } >/run/redis/users.acl
{{- end -}}
