# bash completion of cmdbctl: the output of `cmdbctl completion bash`.
_cmdbctl() {
	local cur=${COMP_WORDS[COMP_CWORD]} words=() w value=
	local valued=' --config --set --schema --account-host --seed --redo --mark-done --description --tenant --role --department --display-name --scope --expires-days --ttl --topics --room --since -n --url --api-key-file --token --name --class --days --rows --brief-seconds --brief-rows --device --level --tag --keyword --from --to --before --after --older-than --keep-rows --source --give-up --devices --rate --for --connections --search --user --ip --node --state --topic --min-lag --sort --interval --event --data --domain --status --line-group --cache-rule --origin-mode --origin-group --origin-set --redirect-url --redirect-status-code --https --if-version '
	for w in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		if [[ $w == '=' ]]; then value=1
		elif [[ $value ]]; then value=
		elif [[ $w != -* ]]; then words+=("$w")
		elif [[ $valued == *" $w "* ]]; then value=1
		fi
	done
	[[ $value || $cur == '=' ]] && return
	local all=' --config --set --json --help --version' what=
	case "${words[0]-}:${words[1]-}" in
	migrate:*) what=' --status --dry-run --shape --schema --grants --account-host --seed --redo --mark-done' ;;
	tenant:list) what='' ;;
	tenant:add) what='' ;;
	tenant:disable) what='' ;;
	tenant:enable) what='' ;;
	tenant:*) what=' list add disable enable' ;;
	role:list) what='' ;;
	role:show) what='' ;;
	role:add) what=' --description' ;;
	role:grant) what='' ;;
	role:revoke) what='' ;;
	role:delete) what='' ;;
	role:*) what=' list show add grant revoke delete' ;;
	user:list) what=' --tenant' ;;
	user:show) what='' ;;
	user:add) what=' --role --tenant --department --display-name --password-stdin' ;;
	user:passwd) what=' --password-stdin' ;;
	user:disable) what='' ;;
	user:enable) what='' ;;
	user:grant-role) what='' ;;
	user:revoke-role) what='' ;;
	user:add-department) what='' ;;
	user:remove-department) what='' ;;
	user:delete) what='' ;;
	user:*) what=' list show add passwd disable enable grant-role revoke-role add-department remove-department delete' ;;
	apikey:list) what=' --tenant' ;;
	apikey:add) what=' --tenant --scope --expires-days' ;;
	apikey:revoke) what=' --tenant' ;;
	apikey:*) what=' list add revoke' ;;
	token:issue) what=' --ttl' ;;
	token:check) what='' ;;
	token:revoke) what='' ;;
	token:*) what=' issue check revoke' ;;
	events:tail) what=' --topics --room --since -n -f --url --api-key-file --token' ;;
	events:publish) what=' --tenant --room --name' ;;
	events:prune) what=' --class --days --rows --brief-seconds --brief-rows --dry-run' ;;
	events:stats) what='' ;;
	events:*) what=' tail publish prune stats' ;;
	logs:tail) what=' --device --level --tag --keyword --since -n -f --url --api-key-file --token' ;;
	logs:query) what=' --device --level --tag --keyword --from --to --before --after --oldest-first -n --all --url --api-key-file --token' ;;
	logs:prune) what=' --older-than --keep-rows --dry-run' ;;
	logs:send) what=' --device --level --tag --source --ndjson --gzip --give-up --url --api-key-file --token' ;;
	logs:generate) what=' --devices --rate --for --seed --connections --gzip --print --url --api-key-file --token' ;;
	logs:*) what=' tail query prune send generate' ;;
	devices:list) what=' --online --offline --search --url --api-key-file --token' ;;
	devices:show) what=' --url --api-key-file --token' ;;
	devices:*) what=' list show' ;;
	sessions:list) what=' --tenant --user --ip --node --state --topic --min-lag --sort -n' ;;
	sessions:show) what=' --tenant' ;;
	sessions:kick) what=' --tenant --yes' ;;
	sessions:top) what=' --tenant --user --ip --node --state --topic --min-lag --sort -n --interval --once' ;;
	sessions:*) what=' list show kick top' ;;
	broadcast:*) what=' --event --data --tenant --room' ;;
	websites:list) what=' --domain --status --search --url --api-key-file --token' ;;
	websites:show) what=' --url --api-key-file --token' ;;
	websites:create) what=' --domain --line-group --cache-rule --origin-mode --origin-group --origin-set --redirect-url --redirect-status-code --status --https --url --api-key-file --token' ;;
	websites:update) what=' --domain --line-group --cache-rule --origin-mode --origin-group --origin-set --redirect-url --redirect-status-code --status --https --if-version --url --api-key-file --token' ;;
	websites:delete) what=' --url --api-key-file --token' ;;
	websites:*) what=' list show create update delete' ;;
	status:*) what='' ;;
	config:show) what=' --with-secrets' ;;
	config:check) what='' ;;
	config:default) what='' ;;
	config:*) what=' show check default' ;;
	doctor:*) what=' --deep' ;;
	completion:bash) what='' ;;
	completion:*) what=' bash' ;;
	*) what=' migrate tenant role user apikey token events logs devices sessions broadcast websites status config doctor completion' ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$what $all" -- "$cur")
}
complete -o default -F _cmdbctl cmdbctl
