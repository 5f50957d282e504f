" What the rest of the world may call: settings, switches, the statusline.
" Knows no bridge and no ghost text, only whether they are wanted here.
scriptencoding utf-8

let s:defaults = {
      \ 'enabled': 1,
      \ 'auto': 1,
      \ 'hidden': '0',
      \ 'delay': 15,
      \ 'max_lines': 1,
      \ 'max_tokens': 48,
      \ 'trigger_lines': 8,
      \ 'trigger_tokens': 128,
      \ 'timeout': 20000,
      \ 'maps': 1,
      \ 'statusline': 'ac',
      \ }
let s:filetypes = {'python': 1, 'java': 1}

" Lines longer than this are data, not code; and copying them at each key would be felt.
let s:longest_line = 4096

" Why the plugin cannot work in this editor, or an empty string.
function! autocoder#why_unsupported() abort
  if has('win32')
    return 'the plugin runs on Linux and macOS; on Windows use Vim within WSL'
  elseif has('nvim')
    return has('nvim-0.7') ? '' : 'Neovim 0.7 or newer is needed'
  elseif !has('patch-9.0.0185')
    return 'Vim 9.0.0185 or newer is needed (virtual text)'
  endif
  let l:missing = filter(['textprop', 'job', 'channel', 'timers'], '!has(v:val)')
  return empty(l:missing) ? '' : 'this Vim was built without +' .. join(l:missing, ' +')
endfunction

function! autocoder#supported() abort
  return empty(autocoder#why_unsupported())
endfunction

" The setting b:autocoder_NAME, else g:autocoder_NAME, else the default.
function! autocoder#setting(name) abort
  return get(b:, 'autocoder_' .. a:name, get(g:, 'autocoder_' .. a:name, s:defaults[a:name]))
endfunction

" May a suggestion be shown here at all?
function! autocoder#possible() abort
  return empty(autocoder#why_impossible())
endfunction

" May one be shown without being asked for?
function! autocoder#automatic() abort
  return (s:filetype_wanted() || get(b:, 'autocoder_enabled', 0))
        \ && autocoder#setting('auto') && autocoder#possible()
endfunction

" Does a completion menu have the keys and the screen to itself: the editor's own, or one that a
" plugin draws in a window of its own, as it can say by the setting `hidden`, an expression?
function! autocoder#menu_shows() abort
  return pumvisible() || s:hidden()
endfunction

function! s:hidden() abort
  let l:hidden = autocoder#setting('hidden')
  return type(l:hidden) == v:t_string ? eval(l:hidden) : l:hidden
endfunction

" Why none may be shown here, or an empty string. With 'paste' no key could accept it, and a macro
" that accepted it would not find it again.
function! autocoder#why_impossible() abort
  return !autocoder#setting('enabled') ? 'turned off (:Autocoder enable)'
        \ : !empty(&buftype) ? 'a buffer of type ' .. &buftype
        \ : !&modifiable ? "'nomodifiable'" : &binary ? "'binary'" : &paste ? "'paste'"
        \ : col('$') > s:longest_line ? 'a line of more than ' .. s:longest_line .. ' bytes'
        \ : &virtualedit isnot# '' && getpos('.')[3] ? 'the cursor is past the end of the line'
        \ : !empty(getcmdwintype()) ? 'the command-line window'
        \ : !empty(reg_recording() .. reg_executing()) ? 'a macro is recorded or run' : ''
endfunction

" Why none is shown of itself, or an empty string.
function! autocoder#why_silent() abort
  let l:why = autocoder#why_impossible()
  return !empty(l:why) ? l:why
        \ : autocoder#automatic() ? ''
        \ : autocoder#setting('auto') ? 'filetype ' .. string(&filetype) .. ' (g:autocoder_filetypes)'
        \ : 'only by the trigger key (g:autocoder_auto)'
endfunction

function! s:filetype_wanted() abort
  let l:wanted = get(g:, 'autocoder_filetypes', {})
  return get(l:wanted, &filetype, get(s:filetypes, &filetype, get(l:wanted, '*', 0)))
endfunction

function! autocoder#enable() abort
  let g:autocoder_enabled = 1
endfunction

function! autocoder#disable() abort
  let g:autocoder_enabled = 0
  call autocoder#suggest#leave()
endfunction

function! autocoder#toggle() abort
  if autocoder#setting('enabled')
    call autocoder#disable()
  else
    call autocoder#enable()
  endif
endfunction

" Is ghost text on the screen? For the maps of other plugins.
function! autocoder#visible() abort
  return autocoder#suggest#visible()
endfunction

" For 'statusline': empty where off, else the word of g:autocoder_statusline with a sign:
" none: ready; …: waiting for an answer; !: the bridge is down, see :Autocoder log.
function! autocoder#statusline() abort
  if !autocoder#supported() || !autocoder#setting('enabled') || !s:filetype_wanted()
    return ''
  endif
  return autocoder#setting('statusline') .. s:sign()
endfunction

function! s:sign() abort
  let l:state = autocoder#bridge#state()
  return l:state ==# 'down' ? '!' : autocoder#bridge#waiting() ? '…' : ''
endfunction
