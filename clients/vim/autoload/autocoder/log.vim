" The last lines of what happened, for :Autocoder log. Never text of the user's.
scriptencoding utf-8

let s:lines = []
let s:keep = 500
let s:warned = {}

function! autocoder#log#add(text) abort
  call add(s:lines, strftime('%H:%M:%S ') .. strcharpart(a:text, 0, 500))
  if len(s:lines) > s:keep
    call remove(s:lines, 0, len(s:lines) - s:keep - 1)
  endif
endfunction

" Log, and say it once a session, cut so that it cannot ask for <Enter>.
function! autocoder#log#warn(text) abort
  call autocoder#log#add(a:text)
  if has_key(s:warned, a:text)
    return
  endif
  let s:warned[a:text] = 1
  echohl WarningMsg
  echo strcharpart('autocoder: ' .. tr(a:text, "\n", ' '), 0, max([20, &columns - 20]))
  echohl None
endfunction

function! autocoder#log#lines() abort
  return copy(s:lines)
endfunction
