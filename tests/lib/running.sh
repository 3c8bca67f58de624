# shellcheck shell=bash
# Sourced by tests/run: what runs programs and judges them. Whoever sources it has count PART PASSED FAILED.
#
#   programs_of FOLDER SOURCE...     where the build puts what these sources are made into
#   run_criterion PART PROGRAM...    Criterion's, several at a time, since they mostly wait
#   run_plain PART PROGRAM...        exit 0 is one passed test
#   run_pytest PART PATH...
#   captured FILE COMMAND...         its output in the file, its status as the function's; for what counts by itself
#
# Each test that failed is in failures, with its part, for whoever closes with them.
#
# Stopped in the middle (INT, TERM, HUP), what runs is ended: processes in children, whole groups in groups, each by its id.

failures=()
note_failures() { # note_failures PART, and their names by standard input
  local name
  while IFS= read -r name; do failures+=("$1: $name"); done
}

children=()
groups=()
stop_all() {
  local id
  for id in "${children[@]}"; do kill -TERM "$id"; done
  for id in "${groups[@]}"; do kill -TERM -- "-$id"; done
  [ $((${#children[@]} + ${#groups[@]})) -eq 0 ] || wait "${children[@]}" "${groups[@]}" # without a name it would wait for whatever else runs
} 2>/dev/null
trap 'stop_all || true; exit 130' INT TERM HUP

# Not what stands in the folder: a program whose test was deleted may still be there.
programs_of() {
  local folder=$1 source
  shift
  for source in "$@"; do
    source=${source##*/}
    printf '%s\n' "$folder/${source%.c}"
  done
}

criterion_programs_at_once=3
criterion_tests_at_once=4 # of each; Criterion's own default is one for each core

# Each program's output and status, in the folder, by its name. One group of processes, for stop_all.
criterion_outputs() { # criterion_outputs FOLDER PROGRAM...
  local folder=$1
  shift
  # shellcheck disable=SC2016 # the inner shell's
  CRITERION_JOBS=$criterion_tests_at_once setsid xargs -0 -n 1 -P "$criterion_programs_at_once" \
    sh -c '"$1" >"$0/${1##*/}.out" 2>&1 </dev/null; echo $? >"$0/${1##*/}.status"' "$folder" < <(printf '%s\0' "$@") &
  groups=($!)
  wait "${groups[@]}"
  groups=()
}

# Its tests' names; its own where it names none.
failed_in_criterion() { # failed_in_criterion PROGRAM, and what it said by standard input
  sed 's/\x1b\[[0-9;]*m//g' | sed -nE "s/^\[FAIL\] ([A-Za-z0-9_]+::[A-Za-z0-9_]+).*/$1: \1/p" | sort -u | grep . || printf '%s\n' "$1"
}

# Their closing line is "Synthesis: Tested: N | Passing: N | Failing: N | Crashing: N".
run_criterion() {
  local part=$1 program folder out status good=0 bad=0 line
  shift
  folder=$(mktemp -d)
  criterion_outputs "$folder" "$@"
  for program in "$@"; do
    out=$(tr -d '\0' <"$folder/${program##*/}.out")
    status=$(<"$folder/${program##*/}.status")
    line=$(grep -ao 'Tested:.*' <<<"$out" | sed 's/\x1b\[[0-9;]*m//g' | tail -n 1) || line=
    if [[ $line =~ Tested:\ *([0-9]+).*Passing:\ *([0-9]+).*Failing:\ *([0-9]+) ]]; then
      good=$((good + BASH_REMATCH[2]))
      bad=$((bad + BASH_REMATCH[3])) # those that crashed among them
      [ "$status" -eq 0 ] || [ "${BASH_REMATCH[3]}" -gt 0 ] || bad=$((bad + 1)) # a sanitizer at exit, say
      if [ "$status" -ne 0 ] || [ "${BASH_REMATCH[3]}" -gt 0 ]; then
        printf '%s: exit %d\n%s\n' "$program" "$status" "$(tail -n 30 <<<"$out")"
        note_failures "$part" < <(failed_in_criterion "${program##*/}" <<<"$out")
      fi
      if grep -q 'ERROR: .*Sanitizer' <<<"$out"; then # in a test's own process, whose exit Criterion doesn't judge
        bad=$((bad + 1))
        printf '%s:\n%s\n' "$program" "$(grep -A 20 -m 1 'ERROR: .*Sanitizer' <<<"$out")"
        note_failures "$part" <<<"${program##*/}: $(grep -o -m 1 'ERROR: .*Sanitizer[^(]*' <<<"$out")"
      fi
    else
      bad=$((bad + 1))
      printf '%s ended without a count:\n%s\n' "$program" "$(tail -n 20 <<<"$out")"
      note_failures "$part" <<<"${program##*/}: ended without a count"
    fi
  done
  rm -rf "$folder"
  count "$part" "$good" "$bad"
}

# One group of processes, for stop_all: a shell that reads a command's output by $(...) hears of no signal before its end.
captured() { # captured FILE COMMAND...
  local file=$1 status=0
  shift
  setsid "$@" >"$file" </dev/null &
  groups=($!)
  wait "${groups[@]}" || status=$?
  groups=()
  return "$status"
}

run_plain() {
  local part=$1 program good=0 bad=0 out
  shift
  for program in "$@"; do
    if out=$("$program" 2>&1); then good=$((good + 1)); else bad=$((bad + 1)); printf '%s failed:\n%s\n' "$program" "$(tail -n 40 <<<"$out")"; note_failures "$part" <<<"${program##*/}"; fi
  done
  count "$part" "$good" "$bad"
}

run_pytest() {
  local part=$1 out status=0 good=0 bad=0 line
  shift
  out=$(mktemp)
  "$CHAT_PYTHON" -m pytest -q -p no:cacheprovider --tb=short "$@" >"$out" 2>&1 </dev/null &
  children=($!)
  wait "${children[@]}" || status=$?
  children=()
  cat "$out"
  line=$(grep -E '(passed|failed|error).* in [0-9.]+s' "$out" | tail -n 1) || line=
  [[ $line =~ ([0-9]+)\ passed ]] && good=${BASH_REMATCH[1]}
  [[ $line =~ ([0-9]+)\ failed ]] && bad=$((bad + BASH_REMATCH[1]))
  [[ $line =~ ([0-9]+)\ error ]] && bad=$((bad + BASH_REMATCH[1]))
  note_failures "$part" < <(sed -nE 's/^(FAILED|ERROR) ([^ ]+).*/\2/p' "$out")
  if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; note_failures "$part" <<<"ended without saying what failed"; fi
  rm -f "$out"
  count "$part" "$good" "$bad"
}
